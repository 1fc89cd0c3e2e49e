import { existsSync, renameSync } from 'node:fs';
import { Context } from '@temporalio/activity';
import type { Activities } from '../../activities/index.ts';
import { readWorkerConfig } from '../../worker/config.ts';
import { runWorker } from '../../worker/run.ts';
import { heldFile, holdFile, holdsVariable } from './holds.ts';

/**
 * A worker that holds steps on request (see holds.ts): the activity works as usual, and does not end before the test
 * releases it or it is cancelled.
 */
const dir = process.env[holdsVariable] ?? '';

function holdSteps(activities: Activities): Activities {
  const wrapped = Object.entries(activities).map(([name, activity]) => {
    const run = activity as (...args: unknown[]) => Promise<unknown>;
    return [
      name,
      async (...args: unknown[]): Promise<unknown> => {
        const held = claimHold(name, args);
        const result = await run(...args);
        if (held !== undefined) await waitForRelease(held);
        return result;
      },
    ];
  });
  return Object.fromEntries(wrapped) as Activities;
}

/** @returns the file that holds this run of the activity, when a test has requested it. */
function claimHold(name: string, [input]: readonly unknown[]): string | undefined {
  const { node, daemonSets } = (input ?? {}) as { node?: string; daemonSets?: boolean };
  if (node === undefined) return undefined;
  const step = name === 'drainNode' && daemonSets === true ? 'recyclePods' : name;
  const held = heldFile(dir, step, node);
  try {
    renameSync(holdFile(dir, step, node), held);
    return held;
  } catch {
    return undefined;
  }
}

/**
 * Waits until the test releases the step.
 * @throws CancelledFailure when the activity is cancelled meanwhile.
 */
async function waitForRelease(file: string): Promise<void> {
  const context = Context.current();
  while (existsSync(file)) {
    context.heartbeat();
    await context.sleep(200);
  }
}

await runWorker(await readWorkerConfig(process.env), {
  wrap: holdSteps,
  // A cancellation reaches an activity with the answer to a heartbeat.
  timing: { maxHeartbeatThrottleInterval: '400 ms' },
});
