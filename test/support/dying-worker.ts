import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import type { Activities } from '../../activities/index.ts';
import { readWorkerConfig } from '../../worker/config.ts';
import { runWorker } from '../../worker/run.ts';

/**
 * A worker that dies by SIGKILL, once just before each kind of activity takes effect and once just after, before it can
 * tell anybody; after that it works. The file DEATHS, which outlives it, says where it has died.
 */
const log = process.env['DEATHS'] ?? '';

function dieAround(activities: Activities): Activities {
  const wrapped = Object.entries(activities).map(([name, activity]) => {
    const run = activity as (...args: unknown[]) => Promise<unknown>;
    return [
      name,
      async (...args: unknown[]): Promise<unknown> => {
        dieOnce(`before ${name}`);
        const result = await run(...args);
        // Not when it failed: then there is no effect to die after.
        dieOnce(`after ${name}`);
        return result;
      },
    ];
  });
  return Object.fromEntries(wrapped) as Activities;
}

function dieOnce(where: string): void {
  if (existsSync(log) && readFileSync(log, 'utf8').split('\n').includes(where)) return;
  appendFileSync(log, `${where}\n`);
  process.kill(process.pid, 'SIGKILL');
}

await runWorker(await readWorkerConfig(process.env), { wrap: dieAround });
