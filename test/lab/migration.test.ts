import type { V1ConfigMap, V1DaemonSetList, V1DeploymentList, V1NodeList, V1Pod } from '@kubernetes/client-node';
import type { ChildProcess } from 'node:child_process';
import path from 'node:path';
import { labDown } from '../../lab/cluster/lab.ts';
import { startTemporal, startWorker, type TemporalServer } from '../../lab/cluster/temporal.ts';
import { labMigrationRequest } from '../../lab/migration-request.ts';
import { waitFor } from '../../lab/process.ts';
import type { PathRecord } from '../../model/ledger.ts';
import { checkNames } from '../../model/preflight.ts';
import type { MigrationReport } from '../../model/status.ts';
import { readCompilations } from '../support/compilations.ts';
import { readEdgeServer, servingEdge, startEdgeServers } from '../support/edge-server.ts';
import { Holds } from '../support/holds.ts';
import { readHostState } from '../support/host-state.ts';
import { useLab } from '../support/lab.ts';
import { listHelperPods, listNamespaces, canalOrProjectObjects } from '../support/leftovers.ts';
import { nodeTraces, canalOrProjectLines } from '../support/node-traces.ts';
import { read, readText } from '../support/reads.ts';
import { captureOverlays, hasPacket, type OverlayPacket } from '../support/overlay-capture.ts';
import { flippedFiles, readNodeNetwork, onCilium, listPods } from '../support/pod-networks.ts';
import { PathStreaks, waitForClientStreaks, wrongLines } from '../support/streaks.ts';
import { TemporalCli } from '../support/temporal-cli.ts';
import { timeLimits } from '../support/time-limits.ts';
import {
  approveCleanup,
  expectAllPathsMeasured,
  expectOnCanal,
  expectOwnAddress,
  expectWithoutCanal,
  findProbers,
} from '../support/whole-migration.ts';
import { workerAccount } from '../support/worker-account.ts';
import { activitiesRunningAt } from '../support/workflow-history.ts';

let before: Record<string, string[]>;
beforeAll(async () => {
  before = await readHostState([]);
});
const lab = useLab({ nodes: 3 });
const tracesBefore = new Map<string, string[]>();

let report: MigrationReport | undefined;
/** Flows that were answered although a policy forbids them, with the evidence. */
let answered: string[] = [];
let temporal: TemporalServer;
let worker: ChildProcess;
let account: NodeJS.ProcessEnv;
let holds: Holds;
let cli: TemporalCli;
let namespaces: string[];

const pods = (...selector: string[]): Promise<V1Pod[]> => listPods(lab(), ...selector);

beforeAll(async () => {
  for (const node of lab().layout.nodeNames) tracesBefore.set(node, await nodeTraces(lab().layout.machineDir(node)));
  await startEdgeServers(lab());
  temporal = await startTemporal(lab());
  // With the permissions in deploy/, from the first check to the cleanup.
  account = { KUBECONFIG: await workerAccount(lab()) };
  namespaces = await listNamespaces(lab());
  holds = new Holds(path.join(lab().layout.dir, 'holds'));
  const script = path.join(import.meta.dirname, '..', 'support', 'holding-worker.ts');
  worker = await startWorker(lab(), temporal.address, {
    name: 'first-worker',
    script,
    env: { ...account, ...holds.env },
  });
  cli = new TemporalCli(temporal, lab().layout.context);
});

it('waits for approval of the first node, with Cilium next to Canal and no pod moved', async () => {
  expect(await readEdgeServer(lab(), 'node1')).toEqual(servingEdge);
  await cli.start(JSON.stringify(labMigrationRequest(lab(), 'every-node')));
  await cli.approvePlan();
  await cli.waitForNode('node1', 'awaiting-approval');
  const shop = await pods('-n', 'shop');
  expect(shop.length).toBeGreaterThan(10);
  expect(shop.filter(onCilium)).toEqual([]);
  expect(await readText(lab(), 'get', 'nodes')).not.toContain('SchedulingDisabled');
});

it('migrates only the approved node', async () => {
  await cli.approve('node1');
  await cli.waitForNode('node1', 'migrated');
  await cli.waitForNode('node2', 'awaiting-approval');
  expect((await readNodeNetwork(lab(), 'node1')).files).toEqual(flippedFiles);
  const misplaced = (await pods('-A', '--field-selector', 'spec.nodeName!=,status.phase=Running')).filter(
    (pod) => pod.spec?.hostNetwork !== true && onCilium(pod) !== (pod.spec?.nodeName === 'node1')
  );
  expect(misplaced.map((pod) => pod.metadata?.name)).toEqual([]);
});

it("carries packets on both overlays, in both directions, with the pods' own addresses", async () => {
  const { layout } = lab();
  const [cilium, canal, otherCanal] = (await findProbers(lab(), 'node1', 'node2', 'node3')) as [V1Pod, V1Pod, V1Pod];
  expect([cilium, canal, otherCanal].map(onCilium)).toEqual([true, false, false]);
  const packet = (overlay: OverlayPacket['overlay'], from: V1Pod, to: V1Pod): OverlayPacket => ({
    toNodeAddress: layout.nodeAddress(to.spec?.nodeName ?? ''),
    overlay,
    fromPod: from.status?.podIP,
    toPod: to.status?.podIP,
    toPort: 8080,
  });
  // Between the networks, Cilium's overlay carries both directions, with the identity of the sender.
  const [fromNode1, fromNode2] = [
    [packet('cilium', cilium, canal)],
    [packet('cilium', canal, cilium), packet('canal', canal, otherCanal)],
  ];

  const captures = await Promise.all(['node1', 'node2'].map((node) => captureOverlays(layout.machineDir(node))));
  for (const [from, to] of [
    [cilium, canal],
    [canal, cilium],
    [canal, otherCanal],
  ] as const) {
    await expectOwnAddress(lab(), from, to);
  }
  const seen = (): boolean =>
    [fromNode1, fromNode2].every((expected, index) =>
      expected.every((one) => hasPacket(captures[index]?.text() ?? '', one))
    );
  const limit = { timeoutMs: timeLimits.localChange };
  await waitFor('the packets to be captured', () => Promise.resolve(seen()), limit).catch(() => undefined);
  const [text1 = '', text2 = ''] = await Promise.all(captures.map((capture) => capture.stop()));

  expect(fromNode1.filter((one) => !hasPacket(text1, one))).toEqual([]);
  expect(fromNode2.filter((one) => !hasPacket(text2, one))).toEqual([]);
  expect(hasPacket(text2, packet('cilium', canal, otherCanal))).toBe(false);
});

it('reaches node ports through a migrated node, whose pods are on either network', async () => {
  // Most of the pods behind the probers' node port are on Canal, on other nodes; answers must not bypass the node that has
  // translated the address. If one of the three pods were unreachable, such a streak would occur once in 200,000 tries.
  const enough = 30;
  const streaks = new PathStreaks();
  let records: PathRecord[] = [];
  const reached = async (): Promise<boolean> => {
    const { data } = await read<V1ConfigMap>(lab(), 'configmap', '-n', 'cni-live-migration', 'ledger-node1');
    const page = JSON.parse(data?.['pod'] ?? '{}') as { records: PathRecord[] };
    records = page.records.filter(({ kind, from }) => kind === 'pod-nodeport' && from === 'cilium');
    return streaks.update(records).filter(({ streak }) => streak >= enough).length === 3;
  };
  const limit = { timeoutMs: timeLimits.clusterChange, pollIntervalMs: 1_000 };
  await waitFor(`${enough} answers in a row through each node port`, reached, limit).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${JSON.stringify(records)}`, { cause: error });
  });
  expect(records.map(({ peer }) => peer).sort()).toEqual(['node1', 'node2', 'node3']);
});

it('keeps host ports and bandwidth limits on a migrated node', async () => {
  expect(await readEdgeServer(lab(), 'node1')).toEqual(servingEdge);
  expect(await readEdgeServer(lab(), 'node2')).toEqual(servingEdge);
});

it('rolls back a node during its flip', async () => {
  await holds.arm('flipNode', 'node2');
  await cli.approve('node2');
  await holds.waitUntilHeld('flipNode', 'node2');
  expect(await cli.update('rollback', { node: 'node2', reason: 'an exercise' })).toContain(
    'rollback of node2 requested'
  );
  await cli.waitForNode('node2', 'rolled-back');
  const history = await cli.nodeHistory('node2');
  expect(activitiesRunningAt(history, history.cancelRequestedMs ?? 0)).toContainEqual(
    expect.objectContaining({ name: 'flipNode', outcome: 'canceled' })
  );
  await expectOnCanal(lab(), 'node2');
});

it(
  'gives the same result when the worker is killed during a node and another one continues',
  async () => {
    await holds.arm('drainNode', 'node2');
    await cli.send('retry', { node: 'node2' });
    await cli.approve('node3');
    await holds.waitUntilHeld('drainNode', 'node2');
    expect(await readText(lab(), 'get', 'node', 'node2')).toContain('SchedulingDisabled');
    const ended = new Promise((resolve) => worker.once('exit', resolve));
    worker.kill('SIGKILL');
    await ended;
    worker = await startWorker(lab(), temporal.address, { name: 'second-worker', env: account });

    await cli.approveCutover();
    const { waitingFor } = await cli.waitForCleanup();
    expect(waitingFor).toContain('point of no return');
    const drains = (await cli.nodeHistory('node2')).activities.filter(({ name }) => name === 'drainNode');
    // Temporal repeats the activity, or the workflow schedules it again.
    expect(drains.reduce((sum, { attempt = 1 }) => sum + attempt, 0)).toBeGreaterThan(1);
    expect(await readText(lab(), 'get', 'daemonsets', '-n', 'kube-system', '-o', 'name')).toContain('canal');
    ({ report, answered } = await approveCleanup(lab(), cli));
  },
  timeLimits.wholeMigration
);

it('has measured every kind of path before, during and after the migration, in all networks', () => {
  const { preflight = [] } = report ?? {};
  expect(preflight.map(({ check }) => check)).toEqual(checkNames);
  expectAllPathsMeasured(report ?? {});
  // What a policy forbids was never answered, in any networks of both ends.
  expect(answered).toEqual([]);
});

it('leaves every pod on Cilium, no Canal, and otherwise unchanged nodes', async () => {
  const all = await pods('-A');
  const onPodNetwork = all.filter((pod) => pod.spec?.hostNetwork !== true);
  expect(onPodNetwork.filter((pod) => !onCilium(pod)).map((pod) => pod.metadata?.name)).toEqual([]);
  expect(
    all.filter((pod) => pod.status?.containerStatuses?.some((one) => !one.ready)).map((pod) => pod.metadata?.name)
  ).toEqual([]);
  const { items: nodes } = await read<V1NodeList>(lab(), 'nodes');
  for (const { metadata, spec } of nodes) {
    expect([spec?.unschedulable, spec?.taints]).toEqual([undefined, undefined]);
    const ours = [...Object.keys(metadata?.labels ?? {}), ...Object.keys(metadata?.annotations ?? {})];
    expect(ours.filter((key) => /cni-live-migration|io\.cilium\.migration|flannel|calico/.test(key))).toEqual([]);
  }
  for (const node of lab().layout.nodeNames) {
    const traces = await expectWithoutCanal(lab(), node);
    // The search does find what it looks for.
    expect({ node, cilium: traces.filter((line) => line.includes('CILIUM_POST_nat')).length }).toEqual({
      node,
      cilium: 2,
    });
    expect(canalOrProjectLines(tracesBefore.get(node) ?? []).length).toBeGreaterThan(20);
  }
});

it('leaves no object of Canal and none of its own helpers', async () => {
  const daemonSets = (await read<V1DaemonSetList>(lab(), 'daemonsets', '-A')).items.map((one) => one.metadata?.name);
  expect(daemonSets.sort()).toEqual(['cilium', 'client', 'edge']);
  const deployments = (await read<V1DeploymentList>(lab(), 'deployments', '-A')).items.map((one) => one.metadata?.name);
  expect(deployments.sort()).toEqual(['api', 'cilium-operator', 'coredns', 'intruder', 'web']);
  expect(await listHelperPods(lab())).toEqual([]);
  // The export stays: it is the operator's.
  expect(await canalOrProjectObjects(lab())).toEqual(['configmap/calico-export-0']);
  expect(await listNamespaces(lab())).toEqual(namespaces);
  expect(await readText(lab(), 'get', 'ciliumnodeconfigs', '-A', '--ignore-not-found')).toBe('');
  expect(await readText(lab(), 'get', 'networkpolicies', '-n', 'shop', '-o', 'name')).toContain('servers-from-client');
});

it('continues to serve, and enforces the existing policies', async () => {
  const clients = (await pods('-n', 'shop', '-l', 'app in (client, intruder)')).map(({ metadata }) => ({
    pod: metadata?.name ?? '',
    targets: metadata?.labels?.['app'] === 'client' ? ['api', 'store', 'web'] : ['forbidden'],
  }));
  expect(clients.length).toBe(4);
  expect(wrongLines(await waitForClientStreaks(lab(), clients, { answers: 60, refusals: 5 }))).toEqual([]);
});

it('has compiled once the programs that are the same for all nodes', async () => {
  const { found, compiled } = await readCompilations(lab());
  expect(found).toBeGreaterThan(compiled);
});

it('has nothing to do when it is started again', async () => {
  await cli.start(JSON.stringify(labMigrationRequest(lab(), 'none')));
  expect(await cli.waitForEnd()).toMatchObject({ status: 'COMPLETED', result: { changed: false } });
});

it('leaves this machine unchanged, without traces of Cilium', async () => {
  const { name } = lab().layout.record;
  await labDown(name);
  expect(await readHostState([name])).toEqual(before);
});
