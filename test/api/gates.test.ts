import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { KubernetesObject } from '@kubernetes/client-node';
import type { GateTarget } from '../../activities/probe/gates.ts';
import type { Gates } from '../../model/gates.ts';
import type { PathRecord } from '../../model/ledger.ts';
import { until } from '../../lab/process.ts';
import { activitiesOf } from '../support/activity.ts';
import { useLab } from '../support/lab.ts';
import { apply, get } from '../support/objects.ts';

const lab = useLab({ nodes: 0 });
const namespace = 'cni-live-migration';
const cluster = (): string => lab().layout.context;
const servers: Server[] = [];
afterAll(() => {
  for (const server of servers) server.close();
});

/** What the probers of two nodes would have written down. */
async function write(records: PathRecord[], nodes = ['n1', 'n2']): Promise<void> {
  const page = (some: PathRecord[]): string =>
    JSON.stringify({
      atMs: Date.now(),
      pod: 'x',
      records: some,
      latency: [{ kind: 'pod-pod/udp', from: 'canal', to: 'canal', counts: [9, 1] }],
    });
  const maps = nodes.map((node) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: `ledger-${node}`, namespace, labels: { app: 'ledger' } },
    data: { pod: page(node === 'n1' ? records : []), host: page([]) },
  }));
  await apply(lab(), ...maps);
}

const record = (more: Partial<PathRecord> = {}): PathRecord => ({
  kind: 'pod-pod/udp',
  peer: 'n2',
  from: 'canal',
  to: 'canal',
  sent: 100,
  ...more,
});

beforeAll(async () => {
  const labels = { 'app.kubernetes.io/managed-by': 'cni-live-migration' };
  await apply(lab(), { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } });
  await write([record()]);
});

/** When the node's probers were last asked for their page; the annotation is that of images/prober/kube.go. */
async function askedAt(node: string): Promise<string | undefined> {
  const { metadata } = await get<KubernetesObject>(lab(), '-n', namespace, 'configmap', `ledger-${node}`);
  return metadata?.annotations?.['cni-live-migration/asked-at'];
}

/** Asks the gates; the probers write again once they are asked to. */
async function ask(records: PathRecord[], gates: Partial<Gates> = {}, more: Partial<GateTarget> = {}): Promise<void> {
  const whole: Gates = { toleranceMs: 1_000, paths: {}, prometheus: [], http: [], ...gates };
  const target = { cluster: cluster(), gates: whole, sinceMs: Date.now() - 60_000, nodes: ['n1'], ...more };
  await write(records);
  const before = await askedAt('n1');
  const asked = activitiesOf(lab()).checkGates(target);
  const writing = until('the probers to be asked', async () => (await askedAt('n1')) !== before, {
    timeoutMs: 20_000,
  }).then(() => write(records));
  await Promise.all([asked, writing]);
}

it('keeps what was before, however often it is asked, and measures a stage from its begin', async () => {
  const { markLedger, readLedger } = activitiesOf(lab());
  await write([record({ lost: 1, lostMs: 50 })]);
  const marking = markLedger({ cluster: cluster(), stage: 'before', seconds: 1 });
  await new Promise((resolve) => setTimeout(resolve, 6_300));
  await write([record({ sent: 300, lost: 2, lostMs: 150 })]);
  const before = await marking;
  // From when the probers had settled.
  expect(before).toEqual([expect.objectContaining({ kind: 'pod-pod/udp', sent: 200, lost: 1, lostMs: 100 })]);
  await write([record({ sent: 1_000, lost: 9, lostMs: 5_000 })]);
  expect(await markLedger({ cluster: cluster(), stage: 'before', seconds: 0 })).toEqual(before);
  expect(await readLedger({ cluster: cluster() })).toEqual([
    expect.objectContaining({ sent: 700, lost: 7, lostMs: 4_850 }),
  ]);
});

it('holds where every path was answered', async () => {
  await ask([record()]);
});

it('does not hold where a path was silent for too long, and tells which, how long and why', async () => {
  const gaps: PathRecord['gaps'] = [[Date.now() - 20_000, 7_000, 140]];
  const asked = ask([record({ gaps, lastError: 'no answer within 900 ms' })]);
  await expect(asked).rejects.toMatchObject({
    type: 'GateBreached',
    message: expect.stringContaining(
      'pod-pod/udp from n1 to n2 (canal to canal) was without an answer for 7000 ms, 1000 are tolerated: no answer within 900 ms'
    ) as string,
  });
  await ask([record({ gaps })], { paths: { 'pod-pod/udp': 10_000 } });
  await ask([record({ gaps })], {}, { sinceMs: Date.now() - 5_000 });
});

it('does not hold where the probers of a node are silent themselves', async () => {
  await expect(ask([record()], {}, { nodes: ['n1', 'n3'] })).rejects.toMatchObject({
    type: 'GateBreached',
    message: expect.stringContaining('the probers on n3 do not write their ledger any more') as string,
  });
});

/** Answers with a status and a body, and counts. A Prometheus is not to be had here: this speaks its documented format. */
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

describe('what is asked outside', () => {
  it.each([
    ['a value below the limit', vector('0.5'), undefined],
    ['no value', vector(), undefined],
    ['a scalar below the limit', scalar('1'), undefined],
    ['a value above the limit', vector('0', '3'), 'errors is 3, at most 1 is allowed'],
    ['a scalar above the limit', scalar('2'), 'errors is 2'],
    ['no number', vector('NaN'), 'errors is NaN'],
    ['an error', { status: 503 }, 'with status 503'],
  ])('Prometheus: %s', async (_, answer, words) => {
    const url = await serve(() => answer);
    const asked = ask([record()], { prometheus: [{ url, query: 'errors', max: 1 }] });
    if (words === undefined) await asked;
    else
      await expect(asked).rejects.toMatchObject({
        type: 'GateBreached',
        message: expect.stringContaining(words) as string,
      });
  });

  it('a service that answers badly, or not at all', async () => {
    await ask([record()], { http: [{ url: await serve(() => ({ status: 204 })) }] });
    const bad = ask([record()], { http: [{ url: `${await serve(() => ({ status: 500 }))}/health` }] });
    await expect(bad).rejects.toMatchObject({
      message: expect.stringContaining('/health answers with status 500') as string,
    });
    const gone = ask([record()], { http: [{ url: 'http://127.0.0.1:1/' }] });
    await expect(gone).rejects.toMatchObject({ message: expect.stringContaining('ECONNREFUSED') as string });
  });

  it('once more, where the first answer was bad', async () => {
    let asked = 0;
    await ask([record()], { http: [{ url: await serve(() => ({ status: asked++ === 0 ? 500 : 200 })) }] });
    expect(asked).toBe(2);
  });
});

it('forgets nothing of what it marked', async () => {
  const map = await get<{ data: object }>(lab(), 'configmap', '-n', namespace, 'ledger-marks');
  expect(Object.keys(map.data)).toEqual(['before']);
});
