import type { V1DaemonSetList, V1NodeList, V1Pod, V1PodList } from '@kubernetes/client-node';
import type { ChildProcess } from 'node:child_process';
import { readLedger, totals } from '../../lab/app/ledger.ts';
import { labDown } from '../../lab/cluster/lab.ts';
import { startTemporal, startWorker, type TemporalServer } from '../../lab/cluster/temporal.ts';
import { runInside } from '../../lab/machine/machine.ts';
import { labMigrationRequest, targetPodCidr } from '../../lab/migration-request.ts';
import { until } from '../../lab/process.ts';
import { contains } from '../../workflows/model/networks.ts';
import { hostState } from '../support/host-state.ts';
import { useLab } from '../support/lab.ts';
import { get } from '../support/objects.ts';
import { TemporalCli } from '../support/temporal-cli.ts';

let before: Record<string, string[]>;
beforeAll(async () => {
  before = await hostState([]);
});
const lab = useLab({ nodes: 3 });
const canalPort = 8472;
const ciliumPort = 8473;

let temporal: TemporalServer;
let worker: ChildProcess;
let cli: TemporalCli;

beforeAll(async () => {
  temporal = await startTemporal(lab());
  worker = await startWorker(lab(), temporal.address);
  cli = new TemporalCli(temporal, lab().layout.context);
});

const pods = async (...selector: string[]): Promise<V1Pod[]> =>
  (await get<V1PodList>(lab(), 'pods', ...selector)).items;
const onCilium = (pod: V1Pod): boolean => contains(targetPodCidr, pod.status?.podIP);

async function nodeState(name: string): Promise<string | undefined> {
  // No worker, no answer: asked again.
  const status = await cli.status().catch(() => undefined);
  return status?.nodes.find((node) => node.name === name)?.state;
}

async function untilNode(name: string, state: string): Promise<void> {
  await until(`${name} to be ${state}`, async () => (await nodeState(name)) === state, {
    timeoutMs: 240_000,
    everyMs: 500,
  });
}

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

it('waits for a human before the first node, with Cilium beside Canal and no pod moved', async () => {
  await cli.start(JSON.stringify(labMigrationRequest(lab(), 'every-node')));
  await untilNode('node1', 'awaiting-approval');
  const shop = await pods('-n', 'shop');
  expect(shop.length).toBeGreaterThan(10);
  expect(shop.filter(onCilium)).toEqual([]);
  expect(await lab().kubectl('get', 'nodes')).not.toContain('SchedulingDisabled');
});

it('migrates the node that is approved, and no other', async () => {
  await cli.approve('node1');
  await untilNode('node1', 'migrated');
  await untilNode('node2', 'awaiting-approval');
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
  // A Cilium pod reaches a Canal pod over Canal's overlay, a Canal pod reaches a Cilium pod over Cilium's.
  expect(hasPacket(fromNode1, 12, canalPort, cilium, canal)).toBe(true);
  expect(hasPacket(fromNode2, 11, ciliumPort, canal, cilium)).toBe(true);
  expect(hasPacket(fromNode2, 13, canalPort, canal, otherCanal)).toBe(true);
  expect(hasPacket(fromNode2, 13, ciliumPort, canal, otherCanal)).toBe(false);
});

it('ends the same when the worker is killed in the middle of a node and another takes over', async () => {
  await cli.approve('node2');
  await cli.approve('node3');
  await untilNode('node2', 'migrating');
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
  worker = await startWorker(lab(), temporal.address, 'second-worker');

  const { status, result } = await cli.end();
  expect({ status, result }).toMatchObject({ status: 'COMPLETED', result: { changed: true, phase: 'done' } });
});

it('leaves every pod on Cilium, Canal gone, nodes as they were, and nothing of its own', async () => {
  const all = await pods('-A');
  const onPodNetwork = all.filter((pod) => pod.spec?.hostNetwork !== true);
  expect(onPodNetwork.filter((pod) => !onCilium(pod)).map((pod) => pod.metadata?.name)).toEqual([]);
  expect(
    all.filter((pod) => pod.status?.containerStatuses?.some((one) => !one.ready)).map((pod) => pod.metadata?.name)
  ).toEqual([]);
  const daemonSets = (await get<V1DaemonSetList>(lab(), 'daemonsets', '-A')).items.map((one) => one.metadata?.name);
  expect(daemonSets.sort()).toEqual(['cilium', 'client']);
  const { items: nodes } = await get<V1NodeList>(lab(), 'nodes');
  for (const { metadata, spec } of nodes) {
    expect(spec?.unschedulable).toBeUndefined();
    const ours = [...Object.keys(metadata?.labels ?? {}), ...Object.keys(metadata?.annotations ?? {})];
    expect(ours.filter((key) => /cni-live-migration|io\.cilium\.migration/.test(key))).toEqual([]);
  }
  for (const node of lab().layout.nodeNames) {
    const rules = await runInside(lab().layout.machineDir(node), ['iptables', '-t', 'nat', '-S']);
    expect(rules).toContain('CILIUM_POST_nat');
    expect(rules).not.toContain('CNI-MIGRATION');
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

it('finds nothing to do when it is started again', async () => {
  await cli.start(JSON.stringify(labMigrationRequest(lab(), 'none')));
  expect(await cli.end()).toMatchObject({ status: 'COMPLETED', result: { changed: false } });
});

it('leaves this machine as it was, Cilium’s traces included', async () => {
  const { name } = lab().layout.record;
  await labDown(name);
  expect(await hostState([name])).toEqual(before);
});
