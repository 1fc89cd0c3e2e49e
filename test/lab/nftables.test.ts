import type { V1Pod } from '@kubernetes/client-node';
import { startTemporal, startWorker } from '../../lab/cluster/temporal.ts';
import { runInside } from '../../lab/machine/machine.ts';
import { labMigrationRequest } from '../../lab/migration-request.ts';
import { ledgerStages } from '../../model/ledger.ts';
import type { MigrationReport } from '../../model/status.ts';
import { dial } from '../support/dial.ts';
import { readEdgeServer, servingEdge, startEdgeServers, waitForEdgeServers } from '../support/edge-server.ts';
import { answeredForbiddenFlows } from '../support/forbidden-flows.ts';
import { useLab } from '../support/lab.ts';
import { readNftTables, writeFelixTables } from '../support/nft-tables.ts';
import { nodeTraces, canalOrProjectLines } from '../support/node-traces.ts';
import { canalNode, listPods, onCilium, readNodeNetwork } from '../support/pod-networks.ts';
import { TemporalCli } from '../support/temporal-cli.ts';
import { timeLimits } from '../support/time-limits.ts';

// kube-proxy and Flannel use nftables; Calico, whose version in the lab has no mode for it, uses iptables.
const lab = useLab({ nodes: 2, app: false, packetFilter: 'nftables' });
let cli: TemporalCli;
let answered: string[] = [];
let report: MigrationReport | undefined;

const canalTables = ['arp calico-arp', 'ip calico', 'ip flannel-ipv4', 'ip6 calico', 'ip6 flannel-ipv6'];

beforeAll(async () => {
  await startEdgeServers(lab());
  for (const node of lab().layout.nodeNames) await writeFelixTables(lab(), node);
  const temporal = await startTemporal(lab());
  await startWorker(lab(), temporal.address);
  cli = new TemporalCli(temporal, lab().layout.context);
});

it('starts with kube-proxy and Flannel on nftables', async () => {
  for (const node of lab().layout.nodeNames) {
    expect(await readNftTables(lab(), node)).toEqual(expect.arrayContaining(['ip kube-proxy', ...canalTables]));
    const save = 'iptables-nft-save; iptables-legacy-save';
    const rules = await runInside(lab().layout.machineDir(node), ['sh', '-c', save]);
    expect(rules).toContain('cali-FORWARD');
    expect(rules).not.toMatch(/KUBE-SVC-|FLANNEL-/);
    expect(await readEdgeServer(lab(), node)).toEqual(servingEdge);
  }
});

it('migrates a node, between whose pods and those on Canal no address is translated', async () => {
  await cli.start(JSON.stringify(labMigrationRequest(lab(), 'every-node')));
  await cli.approvePlan();
  await cli.approve('node1');
  await cli.waitForNode('node1', 'migrated');

  const probers = await listPods(lab(), '-n', 'cni-live-migration', '-l', 'app=prober');
  const prober = (node: string): V1Pod => {
    const found = probers.find(({ spec }) => spec?.nodeName === node);
    if (found === undefined) throw new Error(`no prober on ${node}`);
    return found;
  };
  const [migrated, other] = [prober('node1'), prober('node2')];
  expect([migrated, other].map(onCilium)).toEqual([true, false]);
  for (const [from, to] of [
    [migrated, other],
    [other, migrated],
  ] as const) {
    expect(await dial(lab(), from, to)).toEqual({ pod: to.metadata?.name, source: from.status?.podIP });
  }
  expect(await readEdgeServer(lab(), 'node1')).toEqual(servingEdge);
});

it('rolls back that node, and leaves the tables of Canal to Canal', async () => {
  await cli.update('rollback', { node: 'node1', reason: 'an exercise' });
  await cli.waitForNode('node1', 'rolled-back');

  expect(await readNodeNetwork(lab(), 'node1')).toEqual(canalNode);
  expect(await readNftTables(lab(), 'node1')).toEqual(expect.arrayContaining(canalTables));
  await waitForEdgeServers(lab());
  expect(await readEdgeServer(lab(), 'node1')).toEqual(servingEdge);
});

it(
  'migrates all nodes and removes Canal',
  async () => {
    await cli.send('retry', { node: 'node1' });
    await cli.waitForNode('node1', 'migrated');
    await cli.approve('node2');
    await cli.approveCutover();
    await cli.waitForCleanup();
    answered = await answeredForbiddenFlows(lab(), cli);
    await cli.send('approve', { cleanup: true });

    const { status, result } = await cli.waitForEnd();
    expect({ status, result }).toMatchObject({ status: 'COMPLETED', result: { changed: true, phase: 'done' } });
    report = result as MigrationReport;
  },
  timeLimits.wholeMigration
);

it('has a warning of the back ends, with the evidence', () => {
  const outcome = report?.preflight?.find(({ check }) => check === 'packet-filter');

  expect(outcome?.verdict).toBe('warn');
  expect(outcome?.evidence).toEqual([
    'kube-proxy: mode nftables on node1, node2 (as it runs)',
    'Flannel: nftables (ConfigMap kube-system/canal-config)',
  ]);
});

it('has delivered packets on every path before, during and after the migration, and none that a policy forbids', () => {
  for (const stage of ledgerStages) {
    const rows = report?.ledger?.[stage] ?? [];
    expect({ stage, rows: rows.length > 10 }).toEqual({ stage, rows: true });
    for (const { kind, from, to, sent, lost } of rows.filter((row) => row.kind !== 'pod-pod/denied'))
      expect({ stage, kind, from, to, reached: lost < sent }).toEqual({ stage, kind, from, to, reached: true });
  }
  expect(answered).toEqual([]);
});

it("leaves nothing of Canal or of the migration on the nodes, and kube-proxy's tables", async () => {
  for (const node of lab().layout.nodeNames) {
    const left = canalOrProjectLines(await nodeTraces(lab().layout.machineDir(node)));
    expect({ node, left }).toEqual({ node, left: [] });
    const tables = await readNftTables(lab(), node);
    expect(tables).toContain('ip kube-proxy');
    expect(tables.filter((table) => !table.endsWith(' kube-proxy'))).toEqual([]);
    expect(await readEdgeServer(lab(), node)).toEqual(servingEdge);
  }
});
