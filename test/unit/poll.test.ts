import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { poll, type PollOptions } from '../../activities/support/poll.ts';

// Failures are the subject of these tests.
const logger = new DefaultLogger('ERROR');

/** Polls in an activity whose sleeps end at once, until the wait fails. */
async function pollInVain(limit: PollOptions): Promise<{ polls: number; failure: Error }> {
  const environment = new MockActivityEnvironment(undefined, { logger });
  let polls = 0;
  Object.assign(environment.context, { sleep: (ms: number) => Promise.resolve(jest.advanceTimersByTime(ms)) });
  const waiting = (): Promise<never> =>
    poll<never>(() => {
      polls++;
      return Promise.resolve({ waitingFor: 'a reboot' });
    }, limit);
  const failure = (await environment.run(waiting).catch((error: unknown) => error)) as Error;
  return { polls, failure };
}

beforeEach(() => {
  jest.useFakeTimers({
    doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask'],
    now: Date.parse('2026-01-01T12:00:00Z'),
  });
});
afterEach(() => jest.useRealTimers());

it('ends at its deadline, also when another attempt starts', async () => {
  const limit = { deadlineMs: Date.now() + 3_000, onTimeout: 'RebootMissing', advice: 'reboot it' } as const;

  const first = await pollInVain(limit);
  const second = await pollInVain(limit);

  expect(first.polls).toBe(4);
  expect(second.polls).toBe(1);
  const message = 'timed out at 2026-01-01T12:00:03.000Z, waiting for a reboot; reboot it';
  for (const { failure } of [first, second]) expect(failure).toMatchObject({ type: 'RebootMissing', message });
});

it('ends after its timeout, which starts with each attempt', async () => {
  const limit = { timeoutMs: 3_000, onTimeout: 'AgentNotReady' } as const;

  const first = await pollInVain(limit);
  const second = await pollInVain(limit);

  expect([first.polls, second.polls]).toEqual([4, 4]);
  expect(first.failure).toMatchObject({ message: 'timed out after 3 s, waiting for a reboot' });
});
