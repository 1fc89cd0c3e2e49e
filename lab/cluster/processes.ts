import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { identifyProcess, isRunning, signalProcess, type ProcessId } from '../process.ts';

/** How long a process may take to end in order, in ms. */
const endInOrderMs = 15_000;

/**
 * Starts a process on the host that belongs to a lab, so that the lab's removal ends it, whoever removes the lab. Its
 * output goes to `<name>.log` in `dir`. Of its own process group: Ctrl-C is for whoever started the lab, who ends it in order.
 */
export async function startProcess(
  dir: string,
  name: string,
  command: readonly string[],
  env: NodeJS.ProcessEnv = process.env
): Promise<ChildProcess> {
  await mkdir(dir, { recursive: true });
  const log = openSync(path.join(dir, `${name}.log`), 'a');
  const [file = '', ...args] = command;
  const child = spawn(file, args, { stdio: ['ignore', log, log], env, detached: true });
  closeSync(log);
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  child.unref();
  const id = await identifyProcess(child.pid ?? -1);
  if (id !== undefined) await writeFile(path.join(dir, `${name}.process.json`), JSON.stringify(id));
  return child;
}

/** Ends every process that was started with {@link startProcess} in `dir`, in order first, then the hard way. */
export async function stopProcesses(dir: string): Promise<void> {
  const files = (await readdir(dir).catch(() => [] as string[])).filter((file) => file.endsWith('.process.json'));
  await Promise.all(
    files.map(async (file) => stopProcess(JSON.parse(await readFile(path.join(dir, file), 'utf8')) as ProcessId))
  );
}

/** Ends one process and waits until it is gone. One that is gone already is no error. */
export async function stopProcess(id: ProcessId): Promise<void> {
  await signalProcess(id, 'SIGTERM');
  const deadline = Date.now() + endInOrderMs;
  while (await isRunning(id)) {
    if (Date.now() > deadline) await signalProcess(id, 'SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
