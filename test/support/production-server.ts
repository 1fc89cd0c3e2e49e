import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parse } from 'yaml';
import { dynamicConfig, freePort } from '../../lab/cluster/temporal.ts';
import { projectDir } from '../../lab/paths.ts';
import { run, succeeds, waitFor } from '../../lab/process.ts';
import { loadCatalogue } from '../../lab/tools/catalogue.ts';
import { hasEnded, stopServer, type DevServer } from './dev-server.ts';
import { timeLimits } from './time-limits.ts';

/** Names of the server's services, in its own order. */
const services = ['frontend', 'matching', 'history', 'worker'] as const;

/**
 * Features that this server has behind a switch: `temporal workflow pause`. In a production server an operator sets
 * them.
 */
const features = { 'frontend.WorkflowPauseEnabled': true };

/** A task queue in one part learns of a change of versions at once. */
const partitions = { 'matching.numTaskqueueReadPartitions': 1, 'matching.numTaskqueueWritePartitions': 1 };

/** Returns the settings as the server reads them, each of which may have several values: also those of the Compose file. */
async function readServerConfig(): Promise<object> {
  const deployed = await readFile(path.join(projectDir, 'deploy', 'temporal', 'dynamic-config.yaml'), 'utf8');
  const others = Object.entries({ ...dynamicConfig, ...features, ...partitions });
  return { ...(parse(deployed) as object), ...Object.fromEntries(others.map(([name, value]) => [name, [{ value }]])) };
}

/**
 * Starts the server of docker-compose.yml, Temporal 1.32, with its data in memory, and creates the namespace `default`
 * with its search attributes by the script of the Compose file. The dev server of the Temporal CLI is older.
 * @throws Error with the server's output when it does not answer in time.
 */
export async function startProductionServer(): Promise<DevServer> {
  const { bin } = await loadCatalogue();
  const dir = await mkdtemp(path.join(tmpdir(), 'cni-tests-temporal-'));
  const { config, address } = await buildConfig(dir);
  const file = path.join(dir, 'config.json');
  await writeFile(file, JSON.stringify(config));
  await writeFile(path.join(dir, 'dynamic.json'), JSON.stringify(await readServerConfig()));
  const child = spawn(bin('temporal-server'), ['--config-file', file, '--allow-no-auth', 'start'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const readOutput = keepOutput(child);
  const stop = async (): Promise<void> => {
    await stopServer(child);
    await rm(dir, { recursive: true, force: true });
  };
  const health = ['--address', address, 'operator', 'cluster', 'health'];
  try {
    const answersOrEnded = async (): Promise<boolean> => hasEnded(child) || (await succeeds(bin('temporal'), health));
    await waitFor('Temporal to answer', answersOrEnded, { timeoutMs: timeLimits.serviceStart });
    await run('sh', [path.join(projectDir, 'deploy', 'temporal', 'create-namespace.sh')], {
      env: { PATH: `${path.dirname(bin('temporal'))}:${process.env['PATH']}`, HOME: dir, TEMPORAL_ADDRESS: address },
    });
  } catch (error) {
    await stop();
    throw new Error(`Temporal 1.32 does not work: ${readOutput()}`, { cause: error });
  }
  return { address, stop };
}

/** Keeps the end of the server's output, and ends the server with this process. */
function keepOutput(child: ChildProcess): () => string {
  const end = (): void => void child.kill('SIGKILL');
  process.once('exit', end);
  child.once('exit', () => process.off('exit', end));
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => (output = (output + chunk.toString()).slice(-2_000)));
  }
  return () => output.trim() || 'it has written nothing';
}

async function buildConfig(dir: string): Promise<{ config: object; address: string }> {
  const ports = await Promise.all(services.map(async () => ({ grpc: await freePort(), membership: await freePort() })));
  const address = `127.0.0.1:${ports[0]?.grpc}`;
  const host = '127.0.0.1';
  const store = {
    sql: {
      pluginName: 'sqlite',
      databaseName: 'default',
      connectAddr: 'localhost',
      connectProtocol: 'tcp',
      connectAttributes: { mode: 'memory', cache: 'private' },
      maxConns: 1,
      maxIdleConns: 1,
      maxConnLifetime: '1h',
    },
  };
  const config = {
    log: { stdout: true, level: 'error' },
    persistence: {
      defaultStore: 'main',
      visibilityStore: 'visibility',
      numHistoryShards: 1,
      datastores: { main: store, visibility: store },
    },
    global: { membership: { maxJoinDuration: '30s', broadcastAddress: host } },
    services: Object.fromEntries(
      services.map((name, index) => [
        name,
        {
          rpc: {
            grpcPort: Number(ports[index]?.grpc),
            membershipPort: Number(ports[index]?.membership),
            bindOnIP: host,
          },
        },
      ])
    ),
    clusterMetadata: {
      enableGlobalNamespace: false,
      failoverVersionIncrement: 10,
      masterClusterName: 'active',
      currentClusterName: 'active',
      clusterInformation: {
        active: { enabled: true, initialFailoverVersion: 1, rpcName: 'frontend', rpcAddress: address },
      },
    },
    dcRedirectionPolicy: { policy: 'noop' },
    dynamicConfigClient: { filepath: path.join(dir, 'dynamic.json'), pollInterval: '1m' },
  };
  return { config, address };
}
