import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chartArguments } from '../../activities/helm/command.ts';
import type { FailureType } from '../../model/failure-types.ts';
import { readWorkerConfig } from '../../worker/config.ts';
import { jsonLine } from '../../worker/logging.ts';
import { buildSamples } from '../../worker/metrics.ts';
import { slotOptions, versioningOptions } from '../../worker/worker-options.ts';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'cni-config-'));
});
afterAll(() => rm(dir, { recursive: true }));

const file = async (name: string, text: string): Promise<string> => {
  await writeFile(path.join(dir, name), text);
  return path.join(dir, name);
};
const read = (env: NodeJS.ProcessEnv) => readWorkerConfig({ HOME: dir, ...env });

it('uses its defaults', async () => {
  expect(await read({})).toMatchObject({ namespace: 'default', taskQueue: 'cni-migration', helm: 'helm', log: 'json' });
});

it('is a version of a Worker Deployment only when both variables are set', async () => {
  expect(await read({})).toMatchObject({ deployment: undefined, maxConcurrentActivities: 1_000 });
  const both = { TEMPORAL_DEPLOYMENT_NAME: 'cni-migration', TEMPORAL_WORKER_BUILD_ID: '0.2.0' };
  const { deployment } = await read(both);
  expect(deployment).toEqual({ deploymentName: 'cni-migration', buildId: '0.2.0' });
  expect(versioningOptions(undefined)).toEqual({});
  expect(versioningOptions(deployment)).toEqual({
    workerDeploymentOptions: { useWorkerVersioning: true, version: deployment, defaultVersioningBehavior: 'PINNED' },
  });
  await expect(read({ ...both, TEMPORAL_WORKER_BUILD_ID: '' })).rejects.toThrow(/^TEMPORAL_WORKER_BUILD_ID is not set/);
  await expect(read({ TEMPORAL_WORKER_BUILD_ID: '1' })).rejects.toThrow(/^TEMPORAL_DEPLOYMENT_NAME is not set/);
  await expect(read({ ...both, TEMPORAL_DEPLOYMENT_NAME: 'a.b' })).rejects.toThrow(/must not contain a dot/);
});

it('limits concurrent activities', async () => {
  const name = 'CNI_MIGRATION_MAX_CONCURRENT_ACTIVITIES';
  expect((await read({ [name]: '7' })).maxConcurrentActivities).toBe(7);
  expect(slotOptions(7)).toEqual({ maxConcurrentActivityTaskExecutions: 7, maxConcurrentActivityTaskPolls: 7 });
  for (const wrong of ['0', 'many', '1.5']) await expect(read({ [name]: wrong })).rejects.toThrow(name);
});

it('reads the variables and the profiles of the Temporal CLI', async () => {
  const toml = await file(
    'temporal.toml',
    '[profile.prod]\naddress = "t.example:7233"\nnamespace = "ops"\napi_key = "k"\n[profile.prod.tls]\nserver_name = "t"\n'
  );
  const config = await read({ TEMPORAL_CONFIG_FILE: toml, TEMPORAL_PROFILE: 'prod' });
  expect(config).toMatchObject({ namespace: 'ops', connection: { address: 't.example:7233', apiKey: 'k' } });
  expect(config.connection.tls).toMatchObject({ serverNameOverride: 't' });
  const overridden = await read({ TEMPORAL_CONFIG_FILE: toml, TEMPORAL_PROFILE: 'prod', TEMPORAL_ADDRESS: 'x:1' });
  expect(overridden.connection.address).toBe('x:1');
  await expect(read({ TEMPORAL_CONFIG_FILE: toml, TEMPORAL_PROFILE: 'nope' })).rejects.toThrow(/nope/);
});

const kubeconfig = JSON.stringify({
  apiVersion: 'v1',
  kind: 'Config',
  clusters: [{ name: 'c', cluster: { server: 'https://127.0.0.1:1' } }],
  users: [{ name: 'u', user: {} }],
  contexts: [{ name: 'admin', context: { cluster: 'c', user: 'u' } }],
});

it('maps its own names to clusters', async () => {
  await file('prod.kubeconfig', kubeconfig);
  const settings = await file(
    'worker.yaml',
    'clusters:\n  prod: {kubeconfig: prod.kubeconfig, context: admin, canalNamespaces: [net]}\n  typo: {kubeconfig: prod.kubeconfig, context: adnim}\n' +
      '  away: {kubeconfig: /nowhere}\ncharts: [oci://quay.io/cilium/charts, /charts]\nimages: [registry.example.com:5000/team]\n'
  );
  const { clusters, charts } = await read({ CNI_MIGRATION_CONFIG: settings });
  expect(await clusters.names()).toEqual(['prod', 'typo', 'away']);
  expect(await clusters.kubeconfigOf('prod')).toMatchObject({
    file: path.join(dir, 'prod.kubeconfig'),
    context: 'admin',
  });
  const refused = async (cluster: string, words: RegExp, type: FailureType = 'UnknownCluster') =>
    expect(clusters.connect(cluster)).rejects.toMatchObject({
      type,
      message: expect.stringMatching(words) as string,
    });
  await refused('other', /has no cluster "other"; it has prod, typo, away/);
  await refused('__proto__', /has no cluster/);
  await refused('typo', /has no context "adnim"/);
  await refused('away', /cannot read its kubeconfig: ENOENT/, 'CredentialsUnreadable');
  const { images, canalNamespaces } = await clusters.connect('prod');
  expect({ images, canalNamespaces }).toEqual({ images: ['registry.example.com:5000/team'], canalNamespaces: ['net'] });
  const helm = { binary: 'helm', charts };
  expect(chartArguments(helm, 'oci://quay.io/cilium/charts/cilium', '1.20.2')).toContain('--version');
  expect(chartArguments(helm, '/charts/cilium', '')).toEqual(['/charts/cilium']);
  for (const chart of [
    'oci://quay.io/cilium/charts-evil/cilium',
    '/chartsevil',
    '/etc/passwd',
    'oci://evil.example/x',
  ]) {
    expect(() => chartArguments(helm, chart, '1')).toThrow(/takes no chart from/);
  }
});

it.each([
  ['no file', undefined, /cannot read .*: ENOENT/],
  ['invalid YAML', '{', /is not valid YAML/],
  ['nothing', '', /expected object/],
  ['no cluster', 'clusters: {}', /clusters: must contain at least one cluster/],
  ['an unknown field', 'clusters: {a: {inCluster: true}}\nchart: x', /[Uu]nrecognized key/],
  ['a chart source that is none', 'clusters: {a: {inCluster: true}}\ncharts: [../x]', /charts.0: must be/],
  ['an image that is none', 'clusters: {a: {inCluster: true}}\nimages: [registry/]', /images.0: must be/],
  [
    'a namespace that is none',
    'clusters: {a: {inCluster: true, canalNamespaces: ["*"]}}',
    /canalNamespaces.0: must be the name of a namespace/,
  ],
  ['in-cluster outside of one', 'clusters: {a: {inCluster: true}}', /runs in a pod/],
])('refuses a file with %s', async (_what, text, problem) => {
  const name = text === undefined ? path.join(dir, 'missing.yaml') : await file('bad.yaml', text);
  await expect(read({ CNI_MIGRATION_CONFIG: name })).rejects.toThrow(problem);
});

it.each([
  ['KUBECONFIG', '/a:/b'],
  ['CNI_MIGRATION_LOG', 'xml'],
  ['CNI_MIGRATION_HEALTH_ADDRESS', '8090'],
  ['CNI_MIGRATION_METRICS_ADDRESS', 'host:99999'],
  ['CNI_MIGRATION_KEYS', '/nowhere'],
])('refuses %s=%s', async (name, value) => {
  await expect(read({ [name]: value })).rejects.toThrow();
});

it('logs one line of JSON for each entry with any content', () => {
  const meta = { error: new Error('no\nway'), big: 7n };
  const line = jsonLine({ timestampNanos: 1_000_000_000n, level: 'WARN', message: 'a "quoted"\nline', meta });
  expect(line).not.toContain('\n');
  expect(JSON.parse(line)).toMatchObject({
    time: '1970-01-01T00:00:01.000Z',
    level: 'WARN',
    message: 'a "quoted"\nline',
    error: { message: 'no\nway' },
    big: '7',
  });
});

it('exports the phase of a migration as gauges', () => {
  const now = Date.parse('2026-01-01T00:01:00Z');
  const samples = buildSamples(
    {
      cluster: 'prod',
      phase: 'migrate',
      waiting: { kind: 'approval', key: 'x', since: '2026-01-01T00:00:00Z', reminders: 0, answers: [] },
      maxConcurrency: 1,
      waves: 1,
      nodes: [
        { name: 'a', state: 'migrated' },
        { name: 'b', state: 'migrated' },
        { name: 'c', state: 'failed' },
        { name: 'd', state: 'migrating', waitingFor: 'a reboot of d', waitingSince: '2026-01-01T00:00:30Z' },
      ],
      approvals: {},
      timeline: [],
      notes: [],
    },
    {},
    now
  );
  expect(
    samples.map(({ gauge, tags, value }) => [gauge, tags['state'] ?? tags['phase'] ?? tags['needs'], value])
  ).toEqual([
    ['cni_migration_phase', 'migrate', 1],
    ['cni_migration_nodes', 'migrated', 2],
    ['cni_migration_nodes', 'failed', 1],
    ['cni_migration_nodes', 'migrating', 1],
    ['cni_migration_waiting_seconds', 'approval', 60],
    ['cni_migration_waiting_seconds', 'decision', 0],
    ['cni_migration_waiting_seconds', 'resume', 0],
    ['cni_migration_waiting_seconds', 'reboot', 30],
    ['cni_migration_waiting_seconds', 'repair', 0],
    ['cni_migration_waiting_seconds', 'time', 0],
    ['cni_migration_paused', undefined, 0],
  ]);
});
