import { closeSync, mkdirSync, openSync } from 'node:fs';
import path from 'node:path';
import { Context } from '@temporalio/activity';
import type { Activities } from '../../activities/index.ts';
import { readWorkerConfig } from '../../worker/config.ts';
import { runWorker } from '../../worker/run.ts';

/**
 * A worker that dies by SIGKILL, once just before each kind of activity takes effect and once just after, before Temporal
 * hears of it. The folder DEATHS, which several workers share, has a file for each death that there has been.
 */
const deaths = process.env['DEATHS'] ?? '';

/** Between two heartbeats, in ms: several of them fit into the heartbeat timeout of impatient-workflows.ts. */
const heartbeatEveryMs = 400;

function dieAround(activities: Activities): Activities {
  const wrapped = Object.entries(activities).map(([name, activity]) => {
    const run = activity as (...args: unknown[]) => Promise<unknown>;
    return [
      name,
      async (...args: unknown[]): Promise<unknown> => {
        dieOnce(`before ${name}`);
        const context = Context.current();
        const beats = setInterval(() => context.heartbeat(), heartbeatEveryMs);
        try {
          const result = await run(...args);
          // Not when it failed: then there is no effect to die after.
          dieOnce(`after ${name}`);
          return result;
        } finally {
          clearInterval(beats);
        }
      },
    ];
  });
  return Object.fromEntries(wrapped) as Activities;
}

/** Dies, unless a worker has died here before. */
function dieOnce(where: string): void {
  try {
    // Of several workers that come here at the same time, one alone creates the file.
    closeSync(openSync(path.join(deaths, where), 'wx'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return;
    throw error;
  }
  process.kill(process.pid, 'SIGKILL');
}

mkdirSync(deaths, { recursive: true });
await runWorker(await readWorkerConfig(process.env), {
  wrap: dieAround,
  timing: {
    maxHeartbeatThrottleInterval: `${heartbeatEveryMs} ms`,
    // Workflow tasks of a dead worker go to the other one.
    stickyQueueScheduleToStartTimeout: '1 second',
  },
});
