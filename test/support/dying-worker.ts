import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Activities } from '../../activities/index.ts';
import { readWorkerConfig } from '../../worker/config.ts';
import { runWorker } from '../../worker/run.ts';

/**
 * A worker that dies by SIGKILL, once just before each kind of activity takes effect and once just after, before it can
 * tell anybody; from the third call on it works. Calls are counted in the folder DEATHS, which outlives it; its file
 * `log` says where it died.
 */
const folder = process.env['DEATHS'] ?? '';

function dieAround(activities: Activities): Activities {
  const wrapped = Object.entries(activities).map(([name, activity]) => {
    const run = activity as (...args: unknown[]) => Promise<unknown>;
    return [
      name,
      async (...args: unknown[]): Promise<unknown> => {
        const file = path.join(folder, name);
        const calls = existsSync(file) ? Number(readFileSync(file, 'utf8')) + 1 : 1;
        writeFileSync(file, String(calls));
        if (calls === 1) die(`before ${name}`);
        const result = await run(...args);
        if (calls === 2) die(`after ${name}`);
        return result;
      },
    ];
  });
  return Object.fromEntries(wrapped) as Activities;
}

function die(where: string): void {
  appendFileSync(path.join(folder, 'log'), `${where}\n`);
  process.kill(process.pid, 'SIGKILL');
}

await runWorker(readWorkerConfig(process.env), dieAround);
