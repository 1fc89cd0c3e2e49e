import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { startProcess } from '../../lab/cluster/processes.ts';
import { freePort, startTemporal, type TemporalServer } from '../../lab/cluster/temporal.ts';
import { projectDir } from '../../lab/paths.ts';
import { run, waitFor } from '../../lab/process.ts';
import { useLab } from '../support/lab.ts';
import { TemporalCli, withPayloads } from '../support/temporal-cli.ts';
import { accountCredentials, workerAccount } from '../support/worker-account.ts';
import { WorkerProcess } from '../support/worker-process.ts';
import { timeLimits } from '../support/time-limits.ts';

const lab = useLab({ nodes: 0 });
let temporal: TemporalServer;
beforeAll(async () => {
  temporal = await startTemporal(lab());
  // Canal without nodes: a migration gets as far as its checks.
  await lab().kubectl('apply', '--server-side', '-f', lab().catalogue.canalManifest);
});

const history = (workflowId: string, ...more: string[]): Promise<string> =>
  temporal.cli('workflow', 'show', '--workflow-id', workflowId, '-o', 'json', ...more);

async function checkOnly(env: NodeJS.ProcessEnv): Promise<string> {
  const main = path.join(projectDir, 'worker', 'main.ts');
  const all = { ...process.env, TEMPORAL_ADDRESS: temporal.address, KUBECONFIG: lab().layout.kubeconfig, ...env };
  const script = '"$0" "$1" --check 2>&1 || echo "code $?"';
  return run('bash', ['-c', script, process.execPath, main], { env: { ...all, CNI_MIGRATION_LOG: 'text' } });
}

describe('at the start', () => {
  const helm = (): NodeJS.ProcessEnv => ({ HELM: lab().catalogue.bin('helm') });

  it('passes when nothing is missing', async () => {
    const output = await checkOnly(helm());
    expect(output).toContain('startup check passed');
    expect(output).not.toContain('code');
  });

  it('names a missing namespace and missing search attributes, with the command that creates them', async () => {
    const newNamespaceEnv = { ...helm(), TEMPORAL_NAMESPACE: 'ops' };
    const first = await checkOnly(newNamespaceEnv);
    expect(first).toMatch(/no namespace "ops".*\n?code 1/s);
    const commandIn = (output: string): string[] => /temporal (operator .*)/.exec(output)?.[1]?.split(' ') ?? [];
    await temporal.cli(...commandIn(first));
    // A server caches the existing namespaces.
    let second = '';
    const lacksAttributes = async (): Promise<boolean> => {
      second = await checkOnly(newNamespaceEnv);
      return second.includes('lacks search attributes');
    };
    await waitFor('the namespace', lacksAttributes, { timeoutMs: timeLimits.clusterChange });
    expect(second).toContain('CniCluster, CniPhase, CniWaitingFor, CniNeeds');
    await temporal.cli(...commandIn(second));
    const hasAttributes = async (): Promise<boolean> =>
      (await checkOnly(newNamespaceEnv)).includes('startup check passed');
    await waitFor('the search attributes', hasAttributes, { timeoutMs: timeLimits.clusterChange });
  });

  it('reports that Helm, Temporal or a cluster is unavailable', async () => {
    expect(await checkOnly({ HELM: '/nowhere/helm' })).toMatch(
      /cannot run Helm as "\/nowhere\/helm" \(ENOENT\).*code 1/s
    );
    expect(await checkOnly({ ...helm(), TEMPORAL_ADDRESS: '127.0.0.1:1' })).toMatch(
      /cannot reach Temporal at 127.0.0.1:1.*code 1/s
    );
    const missing = await checkOnly({ ...helm(), KUBECONFIG: '/nowhere/config' });
    expect(missing).toMatch(/cannot read its kubeconfig: ENOENT.*code 1/s);
  });

  it('names the permissions that the worker lacks in a cluster, and accepts those of deploy/', async () => {
    const account = { ...helm(), KUBECONFIG: await workerAccount(lab()) };
    expect(await checkOnly(account)).not.toContain('lacks permissions');
    await lab().kubectl('delete', 'clusterrolebinding', 'cni-migration-worker');
    expect(await checkOnly(account)).toMatch(/lacks permissions: .*create pods\/eviction/);
  });
});

it('uses the identity of its pod for its requests and for Helm', async () => {
  const { processesDir, apiServer } = lab().layout;
  const account = path.join(processesDir, 'serviceaccount');
  await mkdir(account, { recursive: true });
  const { token, certificate } = await accountCredentials(lab());
  await writeFile(path.join(account, 'token'), token);
  await writeFile(path.join(account, 'namespace'), 'cni-migration');
  await writeFile(path.join(account, 'ca.crt'), Buffer.from(certificate, 'base64'));
  const settings = path.join(processesDir, 'in-cluster.yaml');
  await writeFile(settings, 'clusters: { this: { inCluster: true } }');
  const { hostname, port } = new URL(apiServer);
  const scratch = path.join(processesDir, 'scratch');
  await mkdir(scratch);
  // The files of a pod, in its own mount namespace. The checkout may be anywhere else, under /tmp too.
  const script = `mount -t tmpfs tmpfs /run && d=/run/secrets/kubernetes.io/serviceaccount && mkdir -p $d
    mount --bind "$0" $d && "$1" "$2" --check 2>&1 && "$3" list --kubeconfig "$TMPDIR"/cni-migration-*/kubeconfig --namespace kube-system`;
  const main = path.join(projectDir, 'worker', 'main.ts');
  const helm = lab().catalogue.bin('helm');
  const output = await run(
    'unshare',
    ['--mount', '--propagation', 'private', 'sh', '-c', script, account, process.execPath, main, helm],
    {
      env: {
        PATH: process.env['PATH'],
        TMPDIR: scratch,
        TEMPORAL_ADDRESS: temporal.address,
        HELM: helm,
        CNI_MIGRATION_CONFIG: settings,
        KUBERNETES_SERVICE_HOST: hostname,
        KUBERNETES_SERVICE_PORT: port,
      },
    }
  );
  expect(output).toContain('startup check passed');
  expect(output).not.toContain('cluster "this"');
  expect(output).toContain('NAMESPACE');
});

it('can be deployed with the files in deploy/, by a dry run of the API server', async () => {
  const file = path.join(projectDir, 'deploy', 'worker.yaml');
  const output = await lab().kubectl('apply', '--server-side', '--dry-run=server', '-f', file);
  expect(output).toContain('deployment.apps/cni-migration-worker');
});

it('is ready while it works and Temporal answers, and shuts down gracefully', async () => {
  const worker = await WorkerProcess.start(lab(), temporal.address, 'orderly');
  await worker.ready();
  expect(await worker.status('/livez')).toBe(200);
  expect(await worker.status('/other')).toBe(404);
  expect(await worker.stop()).toBe(0);
  for (const line of (await worker.log()).trim().split('\n')) expect(JSON.parse(line)).toHaveProperty('level');
});

it('exports metrics of the SDK', async () => {
  const worker = await WorkerProcess.start(lab(), temporal.address, 'measured');
  await worker.ready();
  const cli = new TemporalCli(temporal, 'prod');
  const input = { cluster: 'prod', nodeInspection: false, waivers: [] };
  await cli.start(JSON.stringify(input));
  await cli.waitForEnd();
  const { metrics } = worker;
  const text = async (): Promise<string> => (await fetch(metrics)).text();
  const counted = async (): Promise<boolean> =>
    /temporal_activity_execution_latency.*inspectCluster/.test(await text());
  await waitFor('the metrics', counted, { timeoutMs: timeLimits.serviceStart });
  expect(await text()).toContain('temporal_worker_task_slots_available');
  await worker.stop();
});

describe('traces', () => {
  let collector: Server;
  const bodies: Buffer[] = [];
  beforeAll(async () => {
    // Implements enough of OTLP over HTTP: it accepts everything.
    collector = createServer((request, response) => {
      request.on('data', (chunk: Buffer) => bodies.push(chunk));
      request.on('end', () => response.writeHead(200, { 'Content-Type': 'application/json' }).end('{}'));
    });
    await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => new Promise((resolve) => collector.close(resolve)));

  it('are sent to the configured endpoint, with workflows and activities', async () => {
    const { port } = collector.address() as AddressInfo;
    const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}` };
    const worker = await WorkerProcess.start(lab(), temporal.address, 'traced', endpoint);
    await worker.ready();
    const cli = new TemporalCli(temporal, 'traced');
    await cli.start('{"cluster": "prod"}');
    await cli.waitForEnd();
    await worker.stop();
    const sent = Buffer.concat(bodies).toString();
    for (const span of ['RunWorkflow:clusterMigration', 'RunActivity:inspectCluster', 'cni-live-migration']) {
      expect(sent).toContain(span);
    }
  });
});

describe('with encryption', () => {
  let codecServer: string;
  let env: NodeJS.ProcessEnv;
  const token = 'open-sesame';
  beforeAll(async () => {
    const { processesDir } = lab().layout;
    const keys = path.join(processesDir, 'keys.yaml');
    await writeFile(keys, JSON.stringify({ current: 'k1', keys: { k1: randomBytes(32).toString('base64') } }));
    const tokenFile = path.join(processesDir, 'token');
    await writeFile(tokenFile, token);
    env = { CNI_MIGRATION_KEYS: keys };
    const address = `127.0.0.1:${await freePort()}`;
    codecServer = `http://${address}`;
    const main = path.join(projectDir, 'temporal', 'codec-server', 'main.ts');
    await startProcess(processesDir, 'codec', [process.execPath, main], {
      ...process.env,
      ...env,
      CNI_MIGRATION_CODEC_ADDRESS: address,
      CNI_MIGRATION_CODEC_TOKEN_FILE: tokenFile,
    });
    const answers = (): Promise<boolean> =>
      fetch(codecServer).then(
        () => true,
        () => false
      );
    await waitFor('the codec server', answers, { timeoutMs: timeLimits.serviceStart });
  });

  it('hides inputs, details and failures from Temporal, and shows them through the codec server only', async () => {
    const worker = await WorkerProcess.start(lab(), temporal.address, 'encrypted', env);
    await worker.ready();
    const codec = ['--codec-endpoint', codecServer, '--codec-auth', `Bearer ${token}`];
    const input = { cluster: 'prod', backup: 'a-word-to-find', nodeInspection: false };
    const start = ['workflow', 'start', '--type', 'clusterMigration', '--task-queue', 'cni-migration'];
    await temporal.cli(...start, '--workflow-id', 'hidden', '--input', JSON.stringify(input), ...codec);
    await temporal.cli('workflow', 'result', '--workflow-id', 'hidden').catch(() => '');
    const words = ['a-word-to-find', 'checks block the migration'];
    const shown = withPayloads(await history('hidden', ...codec));
    for (const word of words) expect(shown).toContain(word);
    const raw = withPayloads(await history('hidden'));
    for (const word of words) expect(raw).not.toContain(word);
    // Without the token, nobody sees more.
    const refused = await history('hidden', '--codec-endpoint', codecServer).catch((error: unknown) => String(error));
    for (const word of words) expect(withPayloads(refused)).not.toContain(word);
    await worker.stop();
  });
});
