import { closeSync, mkdirSync, openSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import path from 'node:path';
import { Context } from '@temporalio/activity';
import type { Activities } from '../../activities/index.ts';
import { readWorkerConfig } from '../../worker/config.ts';
import { runWorker } from '../../worker/run.ts';

/**
 * A worker that kills itself with SIGKILL, once just before each type of activity takes effect and once just after,
 * before Temporal is informed. Several workers share the folder DEATHS, which has a file for each death so far.
 */
const deaths = process.env['DEATHS'] ?? '';

/** Interval between two heartbeats, in ms: several of them fit into the heartbeat timeout of short-heartbeats.ts. */
const heartbeatIntervalMs = 300;

function crashAround(activities: Activities): Activities {
  const wrapped = Object.entries(activities).map(([name, activity]) => {
    const run = activity as (...args: unknown[]) => Promise<unknown>;
    return [
      name,
      async (...args: unknown[]): Promise<unknown> => {
        crashOnce(`before ${name}`);
        const context = Context.current();
        const beats = setInterval(() => context.heartbeat(), heartbeatIntervalMs);
        try {
          const result = await run(...args);
          // Not when the activity failed: then it has no effect after which to die.
          crashOnce(`after ${name}`);
          return result;
        } finally {
          clearInterval(beats);
        }
      },
    ];
  });
  return Object.fromEntries(wrapped) as Activities;
}

/** Ends the process with SIGKILL unless a worker has already died here. */
function crashOnce(where: string): void {
  try {
    // When several workers come here at the same time, only one creates the file.
    closeSync(openSync(path.join(deaths, where), 'wx'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return;
    throw error;
  }
  process.kill(process.pid, 'SIGKILL');
}

// Node.js writes its cache at an orderly end, which this process never has.
flushCompileCache();
mkdirSync(deaths, { recursive: true });
await runWorker(await readWorkerConfig(process.env), {
  wrap: crashAround,
  timing: {
    maxHeartbeatThrottleInterval: `${heartbeatIntervalMs} ms`,
    // Workflow tasks of a dead worker are given to the other one.
    stickyQueueScheduleToStartTimeout: '500 ms',
  },
});
