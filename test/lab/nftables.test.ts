import type { V1Pod } from '@kubernetes/client-node';
import { startTemporal, startWorker } from '../../lab/cluster/temporal.ts';
import { runInside } from '../../lab/machine/machine.ts';
import { labMigrationRequest } from '../../lab/migration-request.ts';
import { builtVersions } from '../../lab/tools/node-images.ts';
import type { MigrationReport } from '../../model/status.ts';
import { readEdgeServer, servingEdge, startEdgeServers } from '../support/edge-server.ts';
import { useLab } from '../support/lab.ts';
import { readKubeProxyTables, readNftTables, writeFelixTables, type NftTable } from '../support/nft-tables.ts';
import { onCilium } from '../support/pod-networks.ts';
import {
  connectFromPod,
  connectThroughNodePort,
  startCallers,
  type ServiceConnection,
} from '../support/service-connections.ts';
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

// kube-proxy and Flannel use nftables; Calico, whose version in the lab has no mode for it, uses iptables.
const lab = useLab({ nodes: 2, app: false, packetFilter: 'nftables' });
let cli: TemporalCli;
let answered: string[] = [];
let report: MigrationReport | undefined;
/** Tables of kube-proxy before the migration, by node. */
const kubeProxyTables = new Map<string, NftTable[]>();
/** A connection between two pods of a node that is not migrated yet, and what it answered first. */
let onCanal: { connection: ServiceConnection; first: string } | undefined;

const canalTables = ['arp calico-arp', 'ip calico', 'ip flannel-ipv4', 'ip6 calico', 'ip6 flannel-ipv6'];

beforeAll(async () => {
  await startEdgeServers(lab());
  await startCallers(lab());
  for (const node of lab().layout.nodeNames) await writeFelixTables(lab(), node);
  const temporal = await startTemporal(lab());
  await startWorker(lab(), temporal.address);
  cli = new TemporalCli(temporal, lab().layout.context);
});

it('starts with kube-proxy and Flannel on nftables', async () => {
  for (const node of lab().layout.nodeNames) {
    expect(await readNftTables(lab(), node)).toEqual(expect.arrayContaining(['ip kube-proxy', ...canalTables]));
    const tables = await readKubeProxyTables(lab(), node);
    expect(tables).toContainEqual({ family: 'ip', name: 'kube-proxy', handle: expect.any(Number) as number });
    kubeProxyTables.set(node, tables);
    const save = 'iptables-nft-save; iptables-legacy-save';
    const rules = await runInside(lab().layout.machineDir(node), ['sh', '-c', save]);
    expect(rules).toContain('cali-FORWARD');
    expect(rules).not.toMatch(/KUBE-SVC-|FLANNEL-/);
    expect(await readEdgeServer(lab(), node)).toEqual(servingEdge);
  }
  const connection = await connectFromPod(lab(), 'node2', 'node2');
  onCanal = { connection, first: await connection.ask() };
});

it('migrates a node, between whose pods and those on Canal no address is translated', async () => {
  await cli.start(JSON.stringify(labMigrationRequest(lab(), 'every-node')));
  await cli.approvePlan();
  await cli.approve('node1');
  await cli.waitForNode('node1', 'migrated');

  const [migrated, other] = (await findProbers(lab(), 'node1', 'node2')) as [V1Pod, V1Pod];
  expect([migrated, other].map(onCilium)).toEqual([true, false]);
  await expectOwnAddress(lab(), migrated, other);
  await expectOwnAddress(lab(), other, migrated);
  expect(await readEdgeServer(lab(), 'node1')).toEqual(servingEdge);
});

it('rolls back that node, and leaves the tables of Canal to Canal', async () => {
  await cli.update('rollback', { node: 'node1', reason: 'an exercise' });
  await cli.waitForNode('node1', 'rolled-back');

  await expectOnCanal(lab(), 'node1');
  expect(await readNftTables(lab(), 'node1')).toEqual(expect.arrayContaining(canalTables));
});

it('keeps a connection through a Service on the other node, from before the migration', async () => {
  expect(await onCanal?.connection.ask()).toBe(onCanal?.first);
  await onCanal?.connection.close();
});

it(
  'migrates all nodes and removes Canal, while connections through Services stay open',
  async () => {
    await cli.send('retry', { node: 'node1' });
    await cli.waitForNode('node1', 'migrated');
    await cli.approve('node2');
    await cli.waitForNode('node2', 'migrated');
    const connections = [
      await connectFromPod(lab(), 'node1', 'node2'),
      await connectThroughNodePort(lab(), 'node1', 'node2'),
    ];
    const ask = (): Promise<string[]> => Promise.all(connections.map((connection) => connection.ask()));
    const first = await ask();
    expect(first.filter((answer) => !answer.startsWith('edge-'))).toEqual([]);
    await cli.approveCutover();
    await cli.waitForCleanup();
    expect(await ask()).toEqual(first);
    ({ report, answered } = await approveCleanup(lab(), cli));
    expect(await ask()).toEqual(first);
    for (const connection of connections) await connection.close();
  },
  timeLimits.wholeMigration
);

it('has passed the check of the back ends, with the evidence', () => {
  const outcome = report?.preflight?.find(({ check }) => check === 'packet-filter');

  expect(outcome?.verdict).toBe('pass');
  expect(outcome?.evidence).toEqual([
    'kube-proxy: mode nftables on node1, node2 (as it runs)',
    `Calico: iptables (v${builtVersions.calico})`,
    'Flannel: nftables (ConfigMap kube-system/canal-config)',
  ]);
});

it('has delivered packets on every path before, during and after the migration, and none that a policy forbids', () => {
  expectAllPathsMeasured(report ?? {});
  expect(answered).toEqual([]);
});

it('leaves nothing of Canal or of the migration on the nodes, and the tables of kube-proxy as they were', async () => {
  for (const node of lab().layout.nodeNames) {
    await expectWithoutCanal(lab(), node);
    const tables = await readNftTables(lab(), node);
    expect(tables.filter((table) => !table.endsWith(' kube-proxy'))).toEqual([]);
    expect(tables).toContain('ip kube-proxy');
    expect(await readKubeProxyTables(lab(), node)).toEqual(kubeProxyTables.get(node));
  }
});
