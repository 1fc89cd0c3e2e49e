import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { projectDir } from '../../lab/paths.ts';
import { readHostState } from '../support/host-state.ts';

it.each([
  ['the cluster is created', /control plane up/],
  ['the plan waits for approval', /^ {2}\S*temporal .* --name approve /],
])('is stopped by Ctrl-C while %s, and leaves nothing', async (_, line) => {
  const before = await readHostState([]);
  const args = [path.join(projectDir, 'lab', 'demo', 'main.ts'), '--nodes', '1', '--approval', 'every-node', '--keep'];
  // In a process group of its own, as a shell makes it, so that the signal reaches what the demo started.
  const demo = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  const ended = new Promise((resolve) => demo.once('exit', resolve));
  let seen = false;
  let name = '';
  for await (const text of createInterface({ input: demo.stdout })) {
    name ||= /as lab (\S+):/.exec(text)?.[1] ?? '';
    if (seen || !line.test(text)) continue;
    seen = true;
    process.kill(-(demo.pid ?? 0), 'SIGINT');
  }
  expect(seen).toBe(true);
  expect(await ended).toBe(130);
  expect(name).not.toBe('');
  expect(await readHostState([name])).toEqual(before);
});
