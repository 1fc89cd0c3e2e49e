import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { identifyProcess, isRunning, signalProcess, type ProcessId } from '../process.ts';

/** Time that a process gets for a graceful stop, in ms. */
const gracefulStopMs = 15_000;

/**
 * Starts a process on the host that belongs to a lab, so that any removal of the lab stops it. Its output is written to
 * `<name>.log` in `dir`. The process has its own process group: Ctrl-C reaches only the program that started the lab,
 * which stops the process gracefully.
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

/** Stops every process that {@link startProcess} started in `dir`: first with SIGTERM, later with SIGKILL. */
export async function stopProcesses(dir: string): Promise<void> {
  const files = (await readdir(dir).catch(() => [] as string[])).filter((file) => file.endsWith('.process.json'));
  await Promise.all(
    files.map(async (file) => stopProcess(JSON.parse(await readFile(path.join(dir, file), 'utf8')) as ProcessId))
  );
}

/** Stops one process and waits for its end. A process that has already ended is no error. */
export async function stopProcess(id: ProcessId): Promise<void> {
  await signalProcess(id, 'SIGTERM');
  const deadline = Date.now() + gracefulStopMs;
  while (await isRunning(id)) {
    if (Date.now() > deadline) await signalProcess(id, 'SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
