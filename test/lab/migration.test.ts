import type {
  V1ConfigMap,
  V1ConfigMapList,
  V1DaemonSetList,
  V1Node,
  V1NodeList,
  V1Pod,
  V1PodList,
} from '@kubernetes/client-node';
import type { ChildProcess } from 'node:child_process';
import { readLedger, totals } from '../../lab/app/ledger.ts';
import { labDown } from '../../lab/cluster/lab.ts';
import { compiledFolder } from '../../lab/cluster/node.ts';
import { startTemporal, startWorker, type TemporalServer } from '../../lab/cluster/temporal.ts';
import { runInside } from '../../lab/machine/machine.ts';
import { labMigrationRequest, targetPodCidr } from '../../lab/migration-request.ts';
import { until } from '../../lab/process.ts';
import {
  byKind,
  ledgerStages,
  pathKinds,
  type LedgerRow,
  type LedgerStage,
  type PathRecord,
} from '../../model/ledger.ts';
import { contains } from '../../model/networks.ts';
import { checkNames } from '../../model/preflight.ts';
import type { MigrationReport } from '../../model/status.ts';
import { hostState } from '../support/host-state.ts';
import { useLab } from '../support/lab.ts';
import { nodeTraces, ofCanalOrOurs } from '../support/node-traces.ts';
import { apply, get } from '../support/objects.ts';
import { TemporalCli } from '../support/temporal-cli.ts';
import { workerAccount } from '../support/worker-account.ts';

let before: Record<string, string[]>;
beforeAll(async () => {
  before = await hostState([]);
});
const lab = useLab({ nodes: 3 });
const canalPort = 8472;
const ciliumPort = 8473;
const hostPort = 18_080;
const tracesBefore = new Map<string, string[]>();

let report: MigrationReport | undefined;
/** Paths that were answered though a policy forbids them. */
let answered: string[] = [];
let temporal: TemporalServer;
let worker: ChildProcess;
let account: NodeJS.ProcessEnv;
let cli: TemporalCli;

beforeAll(async () => {
  for (const node of lab().layout.nodeNames) tracesBefore.set(node, await nodeTraces(lab().layout.machineDir(node)));
  temporal = await startTemporal(lab());
  // With the rights that deploy/ gives it, from the first check to the clean-up.
  account = { KUBECONFIG: await workerAccount(lab()) };
  worker = await startWorker(lab(), temporal.address, { env: account });
  cli = new TemporalCli(temporal, lab().layout.context);
});

const pods = async (...selector: string[]): Promise<V1Pod[]> =>
  (await get<V1PodList>(lab(), 'pods', ...selector)).items;
const onCilium = (pod: V1Pod): boolean => contains(targetPodCidr, pod.status?.podIP);

/** Has a prober ask another for its name, from inside the cluster. @returns what the other one answered. */
async function ask(from: V1Pod, to: V1Pod): Promise<string> {
  const url = `http://${from.status?.podIP}:8080/dial?to=${to.status?.podIP}:8080`;
  return runInside(lab().layout.machineDir(from.spec?.nodeName ?? ''), [
    'curl',
    '--silent',
    '--fail-with-body',
    '--max-time',
    '5',
    url,
  ]);
}

/** What a node sends over either overlay while something goes on: one line for the outer packet, one for the inner. */
async function overlayTraffic(node: string, work: () => Promise<unknown>): Promise<string> {
  const filter = `udp and (dst port ${canalPort} or dst port ${ciliumPort})`;
  // "timeout" makes it end in order; without "-T vxlan", only the usual port's packets are looked into.
  const command = [
    'timeout',
    '--preserve-status',
    '4',
    'tcpdump',
    '-nn',
    '-T',
    'vxlan',
    '-Q',
    'out',
    '-i',
    'eth0',
    filter,
  ];
  const capture = runInside(lab().layout.machineDir(node), command);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  await work();
  return capture;
}

/** True when the capture has a packet for the pod's port that went to a node by a certain overlay. */
function hasPacket(capture: string, node: number, port: number, from: V1Pod, to: V1Pod): boolean {
  const outer = `> 10\\.99\\.\\d+\\.${node}\\.${port}: .*`;
  return new RegExp(`${outer}\\n.*${from.status?.podIP}\\.\\d+ > ${to.status?.podIP}\\.8080: `).test(capture);
}

/** A server on a host port of every node, whose pods may receive 10 Mbit/s. */
const edge = {
  apiVersion: 'apps/v1',
  kind: 'DaemonSet',
  metadata: { name: 'edge', namespace: 'edge' },
  spec: {
    selector: { matchLabels: { app: 'edge' } },
    template: {
      metadata: { labels: { app: 'edge' }, annotations: { 'kubernetes.io/ingress-bandwidth': '10M' } },
      spec: {
        terminationGracePeriodSeconds: 1,
        containers: [
          {
            name: 'server',
            image: 'cni-live-migration/lab-app:1',
            args: ['server'],
            ports: [{ containerPort: 8080, hostPort }],
            readinessProbe: { httpGet: { port: 8080, path: '/' }, periodSeconds: 1 },
          },
        ],
      },
    },
  },
};

beforeAll(async () => {
  await apply(lab(), { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'edge' } }, edge);
  await lab().kubectl('-n', 'edge', 'rollout', 'status', 'daemonset/edge', '--timeout=120s');
});

/** Calls the host port of a node from another machine, and looks for the limit of its pod's bandwidth. */
async function edgeOf(node: string): Promise<{ answer: string; shaped: boolean }> {
  const other = lab().layout.nodeNames.find((name) => name !== node) ?? '';
  const { status } = await get<V1Node>(lab(), 'node', node);
  const address = status?.addresses?.find(({ type }) => type === 'InternalIP')?.address ?? '';
  const curl = ['curl', '--silent', '--fail-with-body', '--max-time', '5', '--output', '/dev/null', '--write-out'];
  const answer = await runInside(lab().layout.machineDir(other), [
    ...curl,
    '%{http_code}',
    `http://${address}:${hostPort}/`,
  ]);
  const shapers = await runInside(lab().layout.machineDir(node), ['tc', 'qdisc', 'show']);
  return { answer, shaped: shapers.includes('qdisc tbf') };
}

/** Which network the pods of a node are on, and what its CNI folder holds. */
async function networkOf(node: string): Promise<{ networks: string[]; files: string[]; cordoned: boolean }> {
  const running = await pods('-A', '--field-selector', `spec.nodeName=${node},status.phase=Running`);
  const networks = running
    .filter((pod) => pod.spec?.hostNetwork !== true && pod.metadata?.deletionTimestamp === undefined)
    .map((pod) => (onCilium(pod) ? 'Cilium' : 'Canal'));
  const files = (await runInside(lab().layout.machineDir(node), ['ls', '/etc/cni/net.d'])).trim().split('\n');
  const { spec } = await get<V1Node>(lab(), 'node', node);
  return { networks: [...new Set(networks)], files, cordoned: spec?.unschedulable === true };
}

const onCanal = { networks: ['Canal'], files: ['10-canal.conflist', 'calico-kubeconfig'], cordoned: false };

it('waits for a human before the first node, with Cilium beside Canal and no pod moved', async () => {
  expect(await edgeOf('node1')).toEqual({ answer: '200', shaped: true });
  await cli.start(JSON.stringify(labMigrationRequest(lab(), 'every-node')));
  await cli.approvePlan();
  await cli.untilNode('node1', 'awaiting-approval');
  const shop = await pods('-n', 'shop');
  expect(shop.length).toBeGreaterThan(10);
  expect(shop.filter(onCilium)).toEqual([]);
  expect(await lab().kubectl('get', 'nodes')).not.toContain('SchedulingDisabled');
});

it('migrates the node that is approved, and no other', async () => {
  await cli.approve('node1');
  await cli.untilNode('node1', 'migrated');
  await cli.untilNode('node2', 'awaiting-approval');
  expect((await networkOf('node1')).files).toEqual([
    '05-cilium.conflist',
    '10-canal.conflist.cilium_bak',
    'calico-kubeconfig',
  ]);
  const misplaced = (await pods('-A', '--field-selector', 'spec.nodeName!=,status.phase=Running')).filter(
    (pod) => pod.spec?.hostNetwork !== true && onCilium(pod) !== (pod.spec?.nodeName === 'node1')
  );
  expect(misplaced.map((pod) => pod.metadata?.name)).toEqual([]);
});

it('carries real packets on both overlays, both ways, with the pods’ own addresses', async () => {
  const probers = await pods('-n', 'cni-live-migration', '-l', 'app=prober');
  const on = (node: string): V1Pod => {
    const found = probers.find((pod) => pod.spec?.nodeName === node);
    if (found === undefined) throw new Error(`no prober on ${node}`);
    return found;
  };
  const [cilium, canal, otherCanal] = [on('node1'), on('node2'), on('node3')];
  expect([cilium, canal, otherCanal].map(onCilium)).toEqual([true, false, false]);

  const calls = async (): Promise<void> => {
    for (const [from, to] of [
      [cilium, canal],
      [canal, cilium],
      [canal, otherCanal],
    ] as const) {
      expect(JSON.parse(await ask(from, to))).toEqual({ pod: to.metadata?.name, source: from.status?.podIP });
    }
  };
  const [fromNode1, fromNode2] = await Promise.all([overlayTraffic('node1', calls), overlayTraffic('node2', calls)]);
  // Between the networks, Cilium's overlay carries both ways: with the packets, who sent them.
  expect(hasPacket(fromNode1, 12, ciliumPort, cilium, canal)).toBe(true);
  expect(hasPacket(fromNode2, 11, ciliumPort, canal, cilium)).toBe(true);
  expect(hasPacket(fromNode2, 13, canalPort, canal, otherCanal)).toBe(true);
  expect(hasPacket(fromNode2, 13, ciliumPort, canal, otherCanal)).toBe(false);
});

it('reaches node ports through a migrated node, whose pods are on either network', async () => {
  // Most of the pods behind the probers' node port are on Canal, on other nodes; answers must not go past the node that
  // has translated the address.
  const enough = 50;
  const read = async (): Promise<PathRecord[]> => {
    const { data } = await get<V1ConfigMap>(lab(), 'configmap', '-n', 'cni-live-migration', 'ledger-node1');
    const { records } = JSON.parse(data?.['pod'] ?? '{}') as { records: PathRecord[] };
    return records.filter(({ kind, from }) => kind === 'pod-nodeport' && from === 'cilium');
  };
  const sampledEnough = async (): Promise<boolean> => {
    const sampled = await read();
    return sampled.length === 3 && sampled.every(({ sent }) => sent > enough);
  };
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  await until('node ports to be sampled', sampledEnough, { timeoutMs: 60_000, everyMs: 1_000 });
  const sampled = await read();
  expect(sampled.map(({ peer }) => peer).sort()).toEqual(['node1', 'node2', 'node3']);
  for (const { peer, sent, lost = 0 } of sampled) {
    expect(sent).toBeGreaterThan(enough);
    expect({ peer, reached: lost < sent / 10 }).toEqual({ peer, reached: true });
  }
});

it('keeps host ports and bandwidth limits on a migrated node', async () => {
  expect(await edgeOf('node1')).toEqual({ answer: '200', shaped: true });
  expect(await edgeOf('node2')).toEqual({ answer: '200', shaped: true });
});

it('takes a migrated node back to Canal, and migrates it again', async () => {
  expect(await cli.ask('rollback', { node: 'node1', reason: 'a rehearsal' })).toContain('node1 goes back to Canal');
  await cli.untilNode('node1', 'rolled-back');
  expect(await networkOf('node1')).toEqual(onCanal);
  expect(await edgeOf('node1')).toEqual({ answer: '200', shaped: true });
  await cli.send('retry', { node: 'node1' });
  await cli.untilNode('node1', 'migrated');
  expect((await networkOf('node1')).networks).toEqual(['Cilium']);
});

it.each([
  ['while it is drained', ['movePods']],
  ['while it is flipped', ['movePods', 'flipNode']],
  ['while its first pod is looked at', ['flipNode', 'verifyNode']],
  ['while its remaining pods are recycled', ['flipNode', 'movePods']],
  ['while its paths are verified', ['flipNode', 'movePods', 'verifyNode']],
])('takes a node back %s', async (_, steps) => {
  await cli.approve('node2');
  if ((await cli.nodeState('node2')) === 'rolled-back') await cli.send('retry', { node: 'node2' });
  await cli.untilNode('node2', 'migrating');
  for (const step of steps) {
    const reached = async (): Promise<boolean> => (await cli.activitiesOf('node2')).includes(step);
    await until(`node2 to come to ${step}`, reached, { timeoutMs: 120_000, everyMs: 20 });
  }
  await cli.send('rollback', { node: 'node2' });
  await cli.untilNode('node2', 'rolled-back');
  expect(await networkOf('node2')).toEqual(onCanal);
});

it('ends the same when the worker is killed in the middle of a node and another takes over', async () => {
  await cli.send('retry', { node: 'node2' });
  await cli.approve('node3');
  await cli.untilNode('node2', 'migrating');
  await until(
    'node2 to be cordoned',
    async () => (await lab().kubectl('get', 'node', 'node2')).includes('SchedulingDisabled'),
    {
      timeoutMs: 60_000,
      everyMs: 100,
    }
  );
  const ended = new Promise((resolve) => worker.once('exit', resolve));
  worker.kill('SIGKILL');
  await ended;
  worker = await startWorker(lab(), temporal.address, { name: 'second-worker', env: account });

  await until('the clean-up to wait', async () => (await cli.status().catch(() => undefined))?.waiting !== undefined, {
    timeoutMs: 400_000,
    everyMs: 1_000,
  });
  const { phase, waitingFor } = await cli.status();
  expect({ phase, waitingFor }).toEqual({
    phase: 'clean-up',
    waitingFor: expect.stringContaining('point of no return') as string,
  });
  expect(await lab().kubectl('get', 'daemonsets', '-n', 'kube-system', '-o', 'name')).toContain('canal');
  answered = await answeredPaths();
  await cli.send('approve', { cleanup: true });

  const { status, result } = await cli.end();
  expect({ status, result }).toMatchObject({ status: 'COMPLETED', result: { changed: true, phase: 'done' } });
  report = result as MigrationReport;
});

it('has measured every kind of path, before, during and after, in whatever networks both ends were', () => {
  const { ledger = {}, preflight = [] } = report ?? {};
  expect(preflight.map(({ check }) => check)).toEqual(checkNames);
  const kinds = Object.keys(pathKinds);
  for (const stage of ledgerStages) {
    expect({ stage, kinds: byKind(ledger[stage] ?? []).map(({ kind }) => kind) }).toEqual({ stage, kinds });
    // Of what is forbidden, answers count as lost, and meanwhile every sample may be answered.
    for (const { kind, from, to, sent, lost } of (ledger[stage] ?? []).filter((row) => row.kind !== 'pod-pod/denied')) {
      expect({ stage, kind, from, to, reached: lost < sent }).toEqual({ stage, kind, from, to, reached: true });
    }
  }
  const networks = (rows: readonly LedgerRow[] = []): string[] =>
    rows.filter(({ kind }) => kind === 'pod-pod/udp').map(({ from, to }) => `${from} to ${to}`);
  expect(networks(ledger.before)).toEqual(['canal to canal']);
  expect(networks(ledger.during).sort()).toEqual([
    ...['canal to canal', 'canal to cilium', 'cilium to canal', 'cilium to cilium'],
  ]);
  expect(networks(ledger.after)).toEqual(['cilium to cilium']);
  // What a policy forbids was never answered, whichever networks both ends were on.
  expect(answered).toEqual([]);
  const answers = (stage: LedgerStage): number =>
    byKind(ledger[stage] ?? []).find(({ kind }) => kind === 'pod-pod/denied')?.lost ?? -1;
  expect(ledgerStages.map(answers)).toEqual(ledgerStages.map(() => 0));
});

/** Paths that a policy forbids and that were answered, and when, as the probers have written it down. */
async function answeredPaths(): Promise<string[]> {
  const maps = await get<V1ConfigMapList>(lab(), 'configmaps', '-n', 'cni-live-migration', '-l', 'app=ledger');
  return maps.items.flatMap(({ metadata, data = {} }) =>
    Object.values(data)
      .flatMap((page) => (JSON.parse(page) as { records: PathRecord[] | null }).records ?? [])
      .filter(({ kind, lost = 0 }) => kind === 'pod-pod/denied' && lost > 0)
      .map(({ from, to, peer, gaps = [] }) => {
        const times = gaps.map(([start, ms, lost]) => `${new Date(start).toISOString()} for ${ms} ms (${lost})`);
        return `${metadata?.name} (${from}) to ${peer} (${to}): ${times.join(', ')}`;
      })
  );
}

it('leaves every pod on Cilium, Canal gone, nodes as they were, and nothing of its own', async () => {
  const all = await pods('-A');
  const onPodNetwork = all.filter((pod) => pod.spec?.hostNetwork !== true);
  expect(onPodNetwork.filter((pod) => !onCilium(pod)).map((pod) => pod.metadata?.name)).toEqual([]);
  expect(
    all.filter((pod) => pod.status?.containerStatuses?.some((one) => !one.ready)).map((pod) => pod.metadata?.name)
  ).toEqual([]);
  const daemonSets = (await get<V1DaemonSetList>(lab(), 'daemonsets', '-A')).items.map((one) => one.metadata?.name);
  expect(daemonSets.sort()).toEqual(['cilium', 'client', 'edge']);
  const { items: nodes } = await get<V1NodeList>(lab(), 'nodes');
  for (const { metadata, spec } of nodes) {
    expect(spec?.unschedulable).toBeUndefined();
    expect(spec?.taints).toBeUndefined();
    const ours = [...Object.keys(metadata?.labels ?? {}), ...Object.keys(metadata?.annotations ?? {})];
    expect(ours.filter((key) => /cni-live-migration|io\.cilium\.migration|flannel|calico/.test(key))).toEqual([]);
  }
  const kinds = 'crds,clusterroles,clusterrolebindings,leases,serviceaccounts,configmaps,deployments,daemonsets';
  const objects = (await lab().kubectl('get', kinds, '-A', '-o', 'name')).split('\n');
  // The export stays: it is the operator's.
  expect(objects.filter((name) => /cali|flannel|canal|cni-live-migration/.test(name))).toEqual([
    'configmap/calico-export-0',
  ]);
  for (const node of lab().layout.nodeNames) {
    const traces = await nodeTraces(lab().layout.machineDir(node));
    expect({ node, left: ofCanalOrOurs(traces) }).toEqual({ node, left: [] });
    // The search does find what it looks for.
    expect({ node, cilium: traces.filter((line) => line.includes('CILIUM_POST_nat')).length }).toEqual({
      node,
      cilium: 2,
    });
    expect(ofCanalOrOurs(tracesBefore.get(node) ?? []).length).toBeGreaterThan(20);
    expect(await edgeOf(node)).toEqual({ answer: '200', shaped: true });
  }
  expect(await lab().kubectl('get', 'namespace', 'cni-live-migration', '--ignore-not-found')).toBe('');
  expect(await lab().kubectl('get', 'ciliumnodeconfigs', '-A', '--ignore-not-found')).toBe('');
  expect(await lab().kubectl('get', 'networkpolicies', '-n', 'shop', '-o', 'name')).toContain('servers-from-client');
});

it('goes on serving, and enforces the policies it found', async () => {
  const since = new Date(Date.now() + 1_000);
  await new Promise((resolve) => setTimeout(resolve, 8_000));
  const seen = totals(await readLedger(lab(), since));
  expect(seen.map(({ target }) => target)).toEqual(['api', 'forbidden', 'store', 'web']);
  for (const { target, sent, failed } of seen) {
    expect(sent).toBeGreaterThan(target === 'forbidden' ? 2 : 100);
    expect({ target, failed }).toEqual({ target, failed: target === 'forbidden' ? sent : 0 });
  }
});

it('has compiled for one node what is the same for all', async () => {
  const inAgent = ['-n', 'kube-system', 'exec', 'daemonset/cilium', '-c', 'cilium-agent', '--'];
  const stats = await lab().kubectl(...inAgent, 'env', `CCACHE_DIR=${compiledFolder}`, 'ccache', '--print-stats');
  const count = (name: string): number => Number(new RegExp(`^${name}\\s+(\\d+)$`, 'm').exec(stats)?.[1]);
  expect(count('direct_cache_hit') + count('preprocessed_cache_hit')).toBeGreaterThan(count('cache_miss'));
});

it('finds nothing to do when it is started again', async () => {
  await cli.start(JSON.stringify(labMigrationRequest(lab(), 'none')));
  expect(await cli.end()).toMatchObject({ status: 'COMPLETED', result: { changed: false } });
});

it('leaves this machine as it was, Cilium’s traces included', async () => {
  const { name } = lab().layout.record;
  await labDown(name);
  expect(await hostState([name])).toEqual(before);
});
