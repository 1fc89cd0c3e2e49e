/** Steps and expectations that tests of whole migrations in a lab have in common. */
import type { V1Pod } from '@kubernetes/client-node';
import type { Lab } from '../../lab/cluster/lab.ts';
import { byKind, ledgerStages, pathKinds, type LedgerRow, type LedgerStage } from '../../model/ledger.ts';
import type { MigrationReport } from '../../model/status.ts';
import { dial } from './dial.ts';
import { readEdgeServer, servingEdge, waitForEdgeServers } from './edge-server.ts';
import { answeredForbiddenFlows } from './forbidden-flows.ts';
import { canalOrProjectLines, nodeTraces } from './node-traces.ts';
import { canalNode, listPods, readNodeNetwork } from './pod-networks.ts';
import type { TemporalCli } from './temporal-cli.ts';

/** Returns the prober of each of these nodes in the pod network. */
export async function findProbers(lab: Lab, ...nodes: string[]): Promise<V1Pod[]> {
  const probers = await listPods(lab, '-n', 'cni-live-migration', '-l', 'app=prober');
  return nodes.map((node) => {
    const found = probers.find(({ spec }) => spec?.nodeName === node);
    if (found === undefined) throw new Error(`no prober on ${node}`);
    return found;
  });
}

/** Expects a request from one prober to another to arrive with the sender's own address. */
export async function expectOwnAddress(lab: Lab, from: V1Pod, to: V1Pod): Promise<void> {
  expect(await dial(lab, from, to)).toEqual({ pod: to.metadata?.name, source: from.status?.podIP });
}

/** Expects a node to be served by Canal only, with its host port and bandwidth limit. */
export async function expectOnCanal(lab: Lab, node: string): Promise<void> {
  expect(await readNodeNetwork(lab, node)).toEqual(canalNode);
  await waitForEdgeServers(lab);
  expect(await readEdgeServer(lab, node)).toEqual(servingEdge);
}

/**
 * Expects a node to have nothing of Canal or of a migration, and its host port and bandwidth limit to work.
 * @returns what it has of networks.
 */
export async function expectWithoutCanal(lab: Lab, node: string): Promise<string[]> {
  const traces = await nodeTraces(lab.layout.machineDir(node));
  expect({ node, left: canalOrProjectLines(traces) }).toEqual({ node, left: [] });
  expect(await readEdgeServer(lab, node)).toEqual(servingEdge);
  return traces;
}

/**
 * Approves the cleanup that a migration waits for, and waits for the end.
 * @returns the result, and the flows that were answered before the cleanup although a policy forbids them.
 */
export async function approveCleanup(
  lab: Lab,
  cli: TemporalCli
): Promise<{ report: MigrationReport; answered: string[] }> {
  // With the probers, the cleanup removes the evidence.
  const answered = await answeredForbiddenFlows(lab, cli);
  await cli.send('approve', { cleanup: true });
  const { status, result } = await cli.waitForEnd();
  expect({ status, result }).toMatchObject({ status: 'COMPLETED', result: { changed: true, phase: 'done' } });
  return { report: result as MigrationReport, answered };
}

/**
 * Expects every kind of path to be measured and reached in every stage, pods on every combination of networks that a
 * stage has, and what a policy forbids never to be answered.
 */
export function expectAllPathsMeasured({ ledger = {} }: Pick<MigrationReport, 'ledger'>): void {
  for (const stage of ledgerStages) {
    expect({ stage, kinds: byKind(ledger[stage] ?? []).map(({ kind }) => kind) }).toEqual({
      stage,
      kinds: Object.keys(pathKinds),
    });
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
  const answers = (stage: LedgerStage): number =>
    byKind(ledger[stage] ?? []).find(({ kind }) => kind === 'pod-pod/denied')?.lost ?? -1;
  expect(ledgerStages.map(answers)).toEqual(ledgerStages.map(() => 0));
}
