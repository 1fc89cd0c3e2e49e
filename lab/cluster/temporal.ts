import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';
import { plain, writeBundles } from '../../worker/bundle.ts';
import { searchAttributes } from '../../workflows/search-attributes.ts';
import { projectDir } from '../paths.ts';
import { run, succeeds, waitFor } from '../process.ts';
import type { Lab } from './lab.ts';
import { startProcess } from './processes.ts';

/** A Temporal dev server with its database in a file of the lab. */
export interface TemporalServer {
  address: string;
  webUi: string;
  /** Command line of the Temporal CLI for this server, without arguments. */
  command: string[];
  /** Runs the Temporal CLI against this server. */
  cli: (...args: string[]) => Promise<string>;
  process: ChildProcess;
}

/**
 * Settings of a dev server, which has one history shard and one clock. With the defaults, the tasks of a shard are read 20
 * times per second, so that each of two activities that follow each other waits for 100 ms, and a timer fires up to a
 * second late.
 */
export const dynamicConfig = {
  'history.transferProcessorMaxPollRPS': 1_000,
  'history.timerProcessorMaxPollRPS': 1_000,
  'history.timerProcessorMaxTimeShift': '10ms',
};

/** Flags of a dev server: our search attributes, and no needless pauses. */
export const devServerSettings: readonly string[] = [
  ...Object.entries(dynamicConfig).flatMap(([name, value]) => [
    '--dynamic-config-value',
    `${name}=${JSON.stringify(value)}`,
  ]),
  ...Object.values(searchAttributes).flatMap(({ name }) => ['--search-attribute', `${name}=Keyword`]),
];

/**
 * Starts Temporal for a lab, on free ports of this machine's loopback interface. Reuses the data of an earlier server
 * of the lab.
 * @param previous server whose ports are reused, for example after its crash.
 */
export async function startTemporal(lab: Lab, previous?: TemporalServer): Promise<TemporalServer> {
  const dir = lab.layout.processesDir;
  const binary = lab.catalogue.bin('temporal');
  const [port, uiPort] = previous
    ? [parsePort(previous.address), parsePort(previous.webUi)]
    : [await freePort(), await freePort()];
  const address = `127.0.0.1:${port}`;
  const flags = [
    '--db-filename',
    path.join(dir, 'temporal.db'),
    '--port',
    port,
    '--ui-port',
    uiPort,
    '--log-level',
    'warn',
    ...devServerSettings,
  ];
  const child = await startProcess(dir, 'temporal', [binary, 'server', 'start-dev', ...flags]);
  const command = [binary, '--address', address];
  const cli = (...args: string[]): Promise<string> => run(binary, ['--address', address, ...args]);
  await waitFor('Temporal to answer', () => succeeds(binary, ['--address', address, 'operator', 'cluster', 'health']), {
    timeoutMs: 60_000,
  });
  return { address, webUi: `http://127.0.0.1:${uiPort}`, command, cli, process: child };
}

/** Options of {@link startWorker}. */
export interface WorkerOptions {
  /**
   * Name that distinguishes workers of one lab.
   * @default worker
   */
  name?: string;
  /**
   * Script of the worker.
   * @default this project's worker
   */
  script?: string;
  env?: NodeJS.ProcessEnv;
}

/** Starts a worker for the lab's cluster. */
export async function startWorker(lab: Lab, address: string, options: WorkerOptions = {}): Promise<ChildProcess> {
  const { name = 'worker', script = path.join(projectDir, 'worker', 'main.ts') } = options;
  const bundles = options.env?.['CNI_MIGRATION_BUNDLES'] ?? path.join(lab.layout.processesDir, 'bundles');
  // Once per lab: a worker that bundles its workflows itself takes some seconds longer to start.
  if (!existsSync(bundles)) await writeBundles(bundles, [plain]);
  const env = {
    ...process.env,
    TEMPORAL_ADDRESS: address,
    KUBECONFIG: lab.layout.kubeconfig,
    HELM: lab.catalogue.bin('helm'),
    CNI_MIGRATION_BUNDLES: bundles,
    // Restarted workers start faster.
    NODE_COMPILE_CACHE: path.join(lab.layout.processesDir, 'compile-cache'),
    ...options.env,
  };
  return startProcess(lab.layout.processesDir, name, [process.execPath, script], env);
}

function parsePort(url: string): string {
  return url.split(':').at(-1) ?? '';
}

/** Returns a port of this machine on which nothing listens. */
export async function freePort(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return String(port);
}
