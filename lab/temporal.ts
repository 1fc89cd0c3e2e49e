import { spawn, type ChildProcess } from 'node:child_process';
import { openSync, closeSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';
import { projectDir } from './paths.ts';
import { run, succeeds, until } from './process.ts';
import type { Lab } from './cluster/lab.ts';

/** A Temporal dev server with its database in a file. */
export interface TemporalServer {
  address: string;
  webUi: string;
  process: ChildProcess;
  /** Runs the Temporal CLI against it. */
  cli: (...args: string[]) => Promise<string>;
}

/** Starts Temporal on free ports, with its data in `dir`; data that is there is used again. */
export async function startTemporal(lab: Lab, dir: string, ports?: { port: number; uiPort: number }): Promise<TemporalServer> {
  await mkdir(dir, { recursive: true });
  const binary = lab.catalogue.bin('temporal');
  const { port, uiPort } = ports ?? { port: await freePort(), uiPort: await freePort() };
  const address = `127.0.0.1:${port}`;
  const flags = ['--db-filename', path.join(dir, 'temporal.db'), '--port', String(port), '--ui-port', String(uiPort)];
  const child = spawnLogged(binary, ['server', 'start-dev', '--log-level', 'warn', ...flags], path.join(dir, 'temporal.log'));
  const cli = (...args: string[]): Promise<string> => run(binary, [...args, '--address', address]);
  await until('Temporal to answer', () => succeeds(binary, ['operator', 'cluster', 'health', '--address', address]), { timeoutMs: 60_000 });
  return { address, webUi: `http://127.0.0.1:${uiPort}`, process: child, cli };
}

/** Starts a worker process for the lab's cluster; its output goes to `worker.log` in `dir`. */
export function startWorker(lab: Lab, address: string, dir: string): ChildProcess {
  const env = { ...process.env, TEMPORAL_ADDRESS: address, KUBECONFIG: lab.layout.kubeconfig, HELM: lab.catalogue.bin('helm') };
  return spawnLogged(process.execPath, [path.join(projectDir, 'worker', 'main.ts')], path.join(dir, 'worker.log'), env);
}

/** Ends a process that was started here, and waits for its end. */
export async function stopProcess(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  const hard = setTimeout(() => child.kill('SIGKILL'), 20_000);
  await ended;
  clearTimeout(hard);
}

function spawnLogged(file: string, args: string[], logFile: string, env = process.env): ChildProcess {
  const log = openSync(logFile, 'a');
  // In a process group of its own: Ctrl-C is for whoever started it, who then ends it in order.
  const child = spawn(file, args, { stdio: ['ignore', log, log], env, detached: true });
  closeSync(log);
  return child;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
