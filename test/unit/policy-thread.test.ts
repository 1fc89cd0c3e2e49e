import { readFile, readdir } from 'node:fs/promises';
import { CancelledFailure, type ApplicationFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { withFailures } from '../../activities/kubernetes/errors.ts';
import { compareInThread, type ThreadOptions } from '../../activities/policy/compare-in-thread.ts';
import {
  evaluatePolicies,
  type ComparisonInput,
  type PolicyComparison,
} from '../../activities/policy/evaluation/compare.ts';
import type { NetworkPolicy } from '../../activities/policy/evaluation/kubernetes.ts';
import { heartbeat } from '../../activities/support/heartbeat.ts';
import { observeEventLoop } from '../support/event-loop.ts';
import { manyPolicies } from '../support/many-policies.ts';

/** Processor time in ms for which the event loop of a worker may be blocked. */
const maxBlockedMs = 200;

/** Interval in ms of what a test repeats during a comparison. */
const intervalMs = 5;

/** Heartbeat that a test sends in addition, more often than activities do. */
const extraHeartbeat = 'the event loop is free';

const logger = new DefaultLogger('ERROR');
const small = manyPolicies({ policies: 22, namespaces: 2 });
const medium = manyPolicies({ policies: 1_100, namespaces: 100 });

/** Starts a comparison in an activity of its own. Its heartbeats are listed as they are sent. */
function startComparison(input: ComparisonInput, options?: ThreadOptions) {
  const environment = new MockActivityEnvironment(undefined, { logger });
  const heartbeats: string[] = [];
  environment.on('heartbeat', (details?: { waitingFor: string }) => heartbeats.push(details?.waitingFor ?? ''));
  const activity = withFailures('compare the policies', async (): Promise<PolicyComparison> => {
    const timer = setInterval(() => heartbeat({ waitingFor: extraHeartbeat }), intervalMs);
    try {
      return await compareInThread(input, options);
    } finally {
      clearInterval(timer);
    }
  });
  return { environment, heartbeats, result: environment.run<[], PolicyComparison, typeof activity>(activity) };
}

/** Returns the number of threads of this process that compare policies. Linux shows 15 characters of a name. */
async function countThreads(): Promise<number> {
  const tasks = await readdir('/proc/self/task');
  const names = await Promise.all(
    // A thread may end between the two reads.
    tasks.map((task) => readFile(`/proc/self/task/${task}/comm`, 'utf8').catch(() => ''))
  );
  return names.filter((name) => name.startsWith('policy comparis')).length;
}

/** Waits until a comparison has a thread. The time limit of the test ends a wait in vain. */
async function waitForThread(): Promise<void> {
  while ((await countThreads()) === 0) await new Promise((resolve) => setTimeout(resolve, intervalMs));
}

it('leaves the event loop free during a comparison of 3,000 policies', async () => {
  const input = manyPolicies({ policies: 3_000, namespaces: 300 });
  const stop = observeEventLoop();

  const { heartbeats, result } = startComparison(input);
  const { verdicts } = await result;

  expect(stop()).toBeLessThan(maxBlockedMs);
  expect(verdicts).toHaveLength(3_000);
  expect(heartbeats).toContain('the comparison of 3000 policies');
  const heartbeatsMeanwhile = heartbeats.slice(heartbeats.indexOf('the comparison of 3000 policies'));
  expect(heartbeatsMeanwhile.filter((text) => text === extraHeartbeat).length).toBeGreaterThan(2);
});

it('has the same result as in the same thread', async () => {
  const { result } = startComparison(small);

  expect(await result).toEqual(evaluatePolicies(small.policies, small.cluster));
});

it('runs one comparison at a time, and shows which of them wait', async () => {
  const comparisons = [medium, small, small].map((input) => startComparison(input));
  const results = Promise.all(comparisons.map(({ result }) => result));
  let isDone = false;
  void results.then(() => (isDone = true));
  let mostThreads = 0;

  await waitForThread();
  const waiting = comparisons.map(({ heartbeats }) =>
    heartbeats.filter((text) => text !== '' && text !== extraHeartbeat)
  );
  while (!isDone) {
    mostThreads = Math.max(mostThreads, await countThreads());
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }

  const turn = 'another comparison of policies by this worker';
  expect(waiting).toEqual([['the comparison of 1100 policies'], [turn], [turn]]);
  expect(mostThreads).toBe(1);
  expect((await results).map(({ verdicts }) => verdicts.length)).toEqual([1_100, 22, 22]);
});

it('ends the thread of a cancelled comparison, and starts the next one', async () => {
  const [first, second] = [startComparison(medium), startComparison(small)];
  await waitForThread();

  first.environment.cancel();

  await expect(first.result).rejects.toBeInstanceOf(CancelledFailure);
  expect((await second.result).verdicts).toHaveLength(22);
  expect(await countThreads()).toBe(0);
});

it('starts no thread for a comparison that is cancelled while it waits, and keeps the order of the others', async () => {
  const [first, second, third] = [startComparison(medium), startComparison(medium), startComparison(small)];
  await waitForThread();

  second.environment.cancel();

  await expect(second.result).rejects.toBeInstanceOf(CancelledFailure);
  expect(third.heartbeats).not.toContain('the comparison of 22 policies');
  expect(second.heartbeats).not.toContain('the comparison of 1100 policies');
  expect((await first.result).verdicts).toHaveLength(1_100);
  expect((await third.result).verdicts).toHaveLength(22);
});

it('reports a heap that is too small as a failure, and the worker continues', async () => {
  const { result } = startComparison(medium, { heapMiB: 8 });

  const failed = await result.catch((error: unknown) => error as ApplicationFailure);

  expect(failed).toMatchObject({ type: 'PolicyComparisonFailed', nonRetryable: true });
  expect((failed as ApplicationFailure).message).toMatch(/needs more than 8 MiB .* give the worker more memory/);
  await expect(startComparison(small).result).resolves.toBeDefined();
});

it('ends a comparison that exceeds its deadline, names the largest policies, and the worker continues', async () => {
  const ipBlocks = Array.from({ length: 100 }, (_, index) => ({ ipBlock: { cidr: `100.64.${index}.0/24` } }));
  const large: NetworkPolicy = {
    kind: 'NetworkPolicy',
    metadata: { name: 'large', namespace: 'tenant-1' },
    spec: { podSelector: {}, ingress: [{ from: ipBlocks }] },
  };
  const policies = { ...medium.policies, kubernetes: [...medium.policies.kubernetes, large] };

  const { result } = startComparison({ ...medium, policies }, { deadlineMs: 1 });

  const failed = await result.catch((error: unknown) => error as ApplicationFailure);
  expect(failed).toMatchObject({ type: 'PolicyComparisonFailed', nonRetryable: true });
  expect((failed as ApplicationFailure).message).toMatch(
    /takes more than 0.001 s; .* The largest are NetworkPolicy tenant-1\/large \(\d{4} characters\), /
  );
  expect(await countThreads()).toBe(0);
  await expect(startComparison(small).result).resolves.toBeDefined();
});

it('keeps the type and the message of an error', async () => {
  const malformed = { kind: 'NetworkPolicy', metadata: { name: 'x', namespace: 'y' }, spec: null };
  const policies = { ...small.policies, kubernetes: [malformed as unknown as NetworkPolicy] };

  const { result } = startComparison({ ...small, policies });

  await expect(result).rejects.toMatchObject({
    type: 'PolicyComparisonFailed',
    message: expect.stringContaining('TypeError') as string,
    cause: { name: 'TypeError', message: expect.stringMatching(/null/) as string },
  });
});
