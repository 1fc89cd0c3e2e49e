import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { KubernetesObject } from '@kubernetes/client-node';
import type { Activities } from '../../activities/index.ts';
import type { GateTarget } from '../../activities/probe/gates/gate.ts';
import type { Gates } from '../../model/gates.ts';
import type { PathRecord } from '../../model/ledger.ts';
import { kubeconfigClusters } from '../../activities/kubernetes/connection.ts';
import { createLabActivities, createTestActivities } from '../support/activity.ts';
import { apply, bareNode, get } from '../support/objects.ts';
import { useSharedControlPlane } from '../support/shared-control-plane.ts';

const lab = useSharedControlPlane();
const namespace = 'cni-live-migration';
const cluster = (): string => lab().layout.context;
const servers: Server[] = [];
afterAll(() => {
  for (const server of servers) server.close();
});

/** Time by which the probers' clocks are ahead of this machine's, in ms. */
let clockOffsetMs = 0;
afterEach(() => {
  clockOffsetMs = 0;
});

/** Writes ledgers as the probers of nodes would. */
async function write(records: PathRecord[], nodes = ['gate1', 'gate2']): Promise<void> {
  const page = (pageRecords: PathRecord[]): string =>
    JSON.stringify({
      atMs: Date.now() + clockOffsetMs,
      pod: 'x',
      records: pageRecords,
      latency: [{ kind: 'pod-pod/udp', from: 'canal', to: 'canal', counts: [9, 1] }],
    });
  const maps = nodes.map((node) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: `ledger-${node}`, namespace, labels: { app: 'ledger' } },
    data: { pod: page(node === 'gate1' ? records : []), host: page([]) },
  }));
  await apply(lab(), ...maps);
}

const record = (more: Partial<PathRecord> = {}): PathRecord => ({
  kind: 'pod-pod/udp',
  peer: 'gate2',
  from: 'canal',
  to: 'canal',
  sent: 100,
  ...more,
});

/** Creates a node as it is a minute after the last report of its kubelet. */
async function createSilentNode(name: string): Promise<void> {
  await apply(lab(), bareNode(name));
  const conditions = [{ type: 'Ready', status: 'Unknown', lastTransitionTime: new Date(Date.now() - 60_000) }];
  const patch = JSON.stringify({ status: { conditions } });
  await lab().kubectl('patch', 'node', name, '--subresource=status', '--type=merge', '-p', patch);
}

beforeAll(async () => {
  await apply(lab(), bareNode('gate1'), bareNode('gate2'));
  const labels = { 'app.kubernetes.io/managed-by': 'cni-live-migration' };
  await apply(lab(), { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } });
  await write([record()]);
});

/** Returns when the node's probers were last asked for their page; the annotation is that of images/prober/kube.go. */
async function flushRequestedAt(node: string): Promise<string | undefined> {
  const { metadata } = await get<KubernetesObject>(lab(), '-n', namespace, 'configmap', `ledger-${node}`);
  return metadata?.annotations?.['cni-live-migration/flush-requested-at'];
}

/** Returns the end of the stage before the migration; the current time when it has not ended. */
async function snapshotAt(): Promise<number> {
  const marks = [
    '-n',
    namespace,
    'configmap',
    'ledger-snapshots',
    '--ignore-not-found',
    '-o',
    'jsonpath={.data.before}',
  ];
  const text = await lab().kubectl('get', ...marks);
  return text === '' ? Date.now() : (JSON.parse(text) as { atMs: number }).atMs;
}

/** Returns activities that do not sleep: the n-th function of `during` replaces the n-th sleep of one call. */
function withoutSleeps(...during: (() => Promise<void>)[]): { activities: Activities; sleptMs: number[] } {
  const sleptMs: number[] = [];
  const sleep = async (ms: number): Promise<void> => {
    await during[sleptMs.push(ms) - 1]?.();
  };
  return { activities: createListedActivities(sleep), sleptMs };
}

/** Returns activities of a worker whose file allows gates at this machine. */
function createListedActivities(sleep: (ms: number) => Promise<void>): Activities {
  const { layout, catalogue } = lab();
  const helm = { binary: catalogue.bin('helm') };
  const policyOf = () => ({ gateHosts: ['127.0.0.1'] });
  const clusters = kubeconfigClusters(layout.kubeconfig);
  return createTestActivities({ clusters, helm, policyOf, isOpen: () => Promise.resolve(undefined) }, sleep);
}

function gateTarget(gates: Partial<Gates> = {}, more: Partial<GateTarget> = {}): GateTarget {
  const whole: Gates = { toleranceMs: 1_000, paths: {}, prometheus: [], http: [], ...gates };
  return { cluster: cluster(), gates: whole, sinceMs: Date.now() - 60_000, nodes: ['gate1'], ...more };
}

/** Asks the gates. The probers write again on request, while the activity waits for them. */
async function evaluateGates(
  records: PathRecord[],
  gates: Partial<Gates> = {},
  more: Partial<GateTarget> = {}
): Promise<void> {
  const nodes = [...new Set(['gate1', 'gate2', ...(more.nodes ?? [])])];
  await write(records, nodes);
  const before = await flushRequestedAt('gate1');
  const { activities } = withoutSleeps(async () => {
    if ((await flushRequestedAt('gate1')) === before) throw new Error('the probers were not asked');
    await write(records, nodes);
  });
  await activities.checkGates(gateTarget(gates, more));
}

it('keeps the baseline unchanged, and measures a stage from its start', async () => {
  await write([record({ lost: 1, lostMs: 50 })]);
  const { activities, sleptMs } = withoutSleeps(
    // While the probers settle: losses meanwhile do not count.
    () => write([record({ sent: 150, lost: 2, lostMs: 80 })]),
    () => write([record({ sent: 350, lost: 3, lostMs: 180 })])
  );
  const { snapshotLedger, readLedger } = activities;
  const before = await snapshotLedger({ cluster: cluster(), stage: 'before', seconds: 60 });
  expect(before).toEqual([expect.objectContaining({ kind: 'pod-pod/udp', sent: 200, lost: 1, lostMs: 100 })]);
  expect(sleptMs).toEqual([6_000, 60_000]);
  await write([record({ sent: 1_050, lost: 10, lostMs: 5_030 })]);
  expect(await snapshotLedger({ cluster: cluster(), stage: 'before', seconds: 0 })).toEqual(before);
  expect(sleptMs).toHaveLength(2);
  expect(await readLedger({ cluster: cluster() })).toEqual([
    expect.objectContaining({ sent: 700, lost: 7, lostMs: 4_850 }),
  ]);
});

it('passes when every path was answered', async () => {
  await evaluateGates([record()]);
});

it('fails when a path had no answer for too long, and reports which, how long and why', async () => {
  // After the snapshot, in which nothing was lost, and before the probers write.
  const fromMs = await snapshotAt();
  clockOffsetMs = 30_000;
  const gaps: PathRecord['gaps'] = [[fromMs + 1_000, 7_000, 140]];
  const evaluation = evaluateGates([record({ gaps, lastError: 'no answer within 900 ms' })], {}, { sinceMs: fromMs });
  await expect(evaluation).rejects.toMatchObject({
    type: 'GateBreached',
    message: expect.stringContaining(
      'pod-pod/udp from gate1 to gate2 (canal to canal): no answer for 7000 ms (tolerance 1000 ms): no answer within 900 ms'
    ) as string,
  });
  await evaluateGates([record({ gaps })], { paths: { 'pod-pod/udp': 10_000 } }, { sinceMs: fromMs });
  await evaluateGates([record({ gaps })], {}, { sinceMs: fromMs + 8_000 });
});

it('does not count paths from or to nodes that are switched off or have left, except those of its own nodes', async () => {
  const fromMs = await snapshotAt();
  clockOffsetMs = 30_000;
  const gaps: PathRecord['gaps'] = [[fromMs + 1_000, 7_000, 140]];
  await createSilentNode('gate-off');
  const evaluate = (peer: string, nodes: string[]) =>
    evaluateGates([record({ peer, gaps })], {}, { sinceMs: fromMs, nodes });
  for (const peer of ['gate-off', 'gate-left']) {
    await evaluate(peer, ['gate1']);
    await expect(evaluate(peer, ['gate1', peer])).rejects.toMatchObject({ type: 'GateBreached' });
  }
  // An address outside the cluster is no node.
  const outside = record({ kind: 'pod-outside', peer: '192.0.2.1:443', gaps });
  await expect(evaluateGates([outside], {}, { sinceMs: fromMs })).rejects.toMatchObject({ type: 'GateBreached' });
});

it('fails when the probers of a node do not report', async () => {
  await write([record()]);
  // The clock advances when the activity sleeps.
  let sleptMs = 0;
  const realNow = Date.now.bind(Date);
  const clock = jest.spyOn(Date, 'now').mockImplementation(() => realNow() + sleptMs);
  const sleep = async (ms: number): Promise<void> => {
    // The probers on gate1 write again; gate3 has no probers.
    if (sleptMs === 0) await write([record()]);
    sleptMs += ms;
  };
  try {
    const { checkGates } = createLabActivities(lab(), undefined, undefined, sleep);
    await expect(checkGates(gateTarget({}, { nodes: ['gate1', 'gate3'] }))).rejects.toMatchObject({
      type: 'GateBreached',
      // No other node: those on gate1 have written.
      message: expect.stringMatching(/^.*the probers on gate3 no longer write their ledger$/) as string,
    });
  } finally {
    clock.mockRestore();
  }
});

/**
 * Serves responses with a status and a body. No real Prometheus is available here: this server uses its documented
 * format.
 */
async function serve(answer: () => { status: number; body?: object }): Promise<string> {
  const server = createServer((_, response) => {
    const { status, body } = answer();
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body ?? {}));
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const vector = (...values: string[]) => ({
  status: 200,
  body: {
    status: 'success',
    data: { resultType: 'vector', result: values.map((value) => ({ metric: {}, value: [1_700_000_000, value] })) },
  },
});
const scalar = (value: string) => ({
  status: 200,
  body: { status: 'success', data: { resultType: 'scalar', result: [1_700_000_000, value] } },
});

describe('external gates', () => {
  it.each([
    ['a value below the limit', vector('0.5'), undefined],
    ['no value', vector(), undefined],
    ['a scalar below the limit', scalar('1'), undefined],
    ['a value above the limit', vector('0', '3'), 'reports that errors is 3; its limit is 1'],
    ['a scalar above the limit', scalar('2'), 'errors is 2'],
    ['no number', vector('NaN'), 'errors is NaN'],
    ['an error', { status: 503 }, 'with status 503'],
  ])('Prometheus: %s', async (_, answer, message) => {
    const url = await serve(() => answer);
    const evaluation = evaluateGates([record()], { prometheus: [{ url, query: 'errors', max: 1 }] });
    if (message === undefined) await evaluation;
    else
      await expect(evaluation).rejects.toMatchObject({
        type: 'GateBreached',
        message: expect.stringContaining(message) as string,
      });
  });

  it('a service with an error or without an answer', async () => {
    await evaluateGates([record()], { http: [{ url: await serve(() => ({ status: 204 })) }] });
    const bad = evaluateGates([record()], { http: [{ url: `${await serve(() => ({ status: 500 }))}/health` }] });
    await expect(bad).rejects.toMatchObject({
      message: expect.stringContaining('/health answers with status 500') as string,
    });
    const gone = evaluateGates([record()], { http: [{ url: 'http://127.0.0.1:1/' }] });
    await expect(gone).rejects.toMatchObject({ message: expect.stringContaining('ECONNREFUSED') as string });
  });

  it('are not asked at an address of this machine, unless it is listed', async () => {
    const url = await serve(() => vector('0'));
    const { checkGates } = createLabActivities(lab());
    for (const gate of [{ http: [{ url }] }, { prometheus: [{ url, query: 'errors', max: 1 }] }])
      await expect(checkGates(gateTarget(gate))).rejects.toMatchObject({
        type: 'InvalidInput',
        message: expect.stringContaining('needs an entry in policy.gateHosts') as string,
      });
    const named = url.replace('127.0.0.1', 'localhost');
    const listed = evaluateGates([record()], { http: [{ url: named }] });
    await expect(listed).rejects.toMatchObject({ message: expect.stringContaining('not localhost') as string });
  });

  it('with an answer that is too large', async () => {
    const url = await serve(() => ({ status: 200, body: { filling: 'x'.repeat(2_000_000) } }));
    const evaluation = evaluateGates([record()], { http: [{ url }] });
    await expect(evaluation).rejects.toMatchObject({
      type: 'GateBreached',
      message: expect.stringContaining('the answer has more than 1000000 bytes') as string,
    });
  });

  it('retries after a bad answer', async () => {
    let requests = 0;
    await evaluateGates([record()], { http: [{ url: await serve(() => ({ status: requests++ === 0 ? 500 : 200 })) }] });
    expect(requests).toBe(2);
  });
});

it('keeps its snapshots', async () => {
  const map = await get<{ data: object }>(lab(), 'configmap', '-n', namespace, 'ledger-snapshots');
  expect(Object.keys(map.data)).toEqual(['before']);
});
