import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Connection } from '@temporalio/client';
import { devServerSettings, freePort } from '../../lab/cluster/temporal.ts';
import { waitFor } from '../../lab/process.ts';
import { loadCatalogue } from '../../lab/tools/catalogue.ts';
import { timeLimits } from './time-limits.ts';

/** A Temporal dev server for one test file: a real server, with its data in memory. */
export interface DevServer {
  address: string;
  stop: () => Promise<void>;
}

/** Maximum number of ports to try: another process may take a free port before the server does. */
const maxStarts = 3;

/**
 * Starts a Temporal dev server and waits until it answers. The SDK's own helper gives up after five seconds, which is
 * too early on a machine that starts several servers at once.
 * @param uiPort port of the Web UI. @default no Web UI
 * @throws Error with the server's output when it ends, or does not answer in time.
 */
export async function startDevServer(uiPort?: string): Promise<DevServer> {
  for (let starts = 1; ; starts++) {
    const port = await freePort();
    const address = `127.0.0.1:${port}`;
    const server = await spawnServer(port, uiPort);
    try {
      await waitFor('Temporal to answer', () => answersOrEnded(address, server.child), {
        timeoutMs: timeLimits.serviceStart,
        pollIntervalMs: 50,
      });
    } catch (error) {
      await stopServer(server.child);
      throw new Error(`Temporal does not answer: ${server.output()}`, { cause: error });
    }
    if (!hasEnded(server.child)) return { address, stop: () => stopServer(server.child) };
    if (starts === maxStarts) throw new Error(`Temporal has ended unexpectedly: ${server.output()}`);
  }
}

async function spawnServer(port: string, uiPort?: string): Promise<{ child: ChildProcess; output: () => string }> {
  const { bin } = await loadCatalogue();
  const flags = [
    ...['--ip', '127.0.0.1', '--port', port, '--log-level', 'error'],
    ...(uiPort === undefined ? ['--headless'] : ['--ui-port', uiPort]),
    ...devServerSettings,
  ];
  const child = spawn(bin('temporal'), ['server', 'start-dev', ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
  await once(child, 'spawn');
  const end = (): void => void child.kill('SIGKILL');
  process.once('exit', end);
  child.once('exit', () => process.off('exit', end));
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => (output = (output + chunk.toString()).slice(-2_000)));
  }
  return { child, output: () => output.trim() || 'it has written nothing' };
}

/** True when a process has ended. */
export function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

async function answersOrEnded(address: string, child: ChildProcess): Promise<boolean> {
  if (hasEnded(child)) return true;
  try {
    const connection = await Connection.connect({ address, connectTimeout: '5 seconds' });
    await connection.close();
    return true;
  } catch {
    return false;
  }
}

/** Stops a server at once: its data is in memory. */
export async function stopServer(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}
