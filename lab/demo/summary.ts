import { contains } from '../../model/networks.ts';
import { byKind, ledgerStages, pathKinds, type Ledger } from '../../model/ledger.ts';
import type { MigrationReport } from '../../model/status.ts';
import { forbiddenTarget, type TargetTotals } from '../app/ledger.ts';
import { podCidr } from '../cluster/layout.ts';
import type { Lab } from '../cluster/lab.ts';

/** Number of pods on each network; pods on the host's network are not counted. */
export interface PodCounts {
  canal: number;
  cilium: number;
}

/** Counts running pods by the network that their address belongs to. */
export async function countPods(lab: Lab, targetPodCidr: string): Promise<PodCounts> {
  interface Pod {
    spec: { hostNetwork?: boolean };
    status: { podIP?: string };
  }
  const { items } = JSON.parse(await lab.kubectl('get', 'pods', '-A', '-o', 'json')) as { items: Pod[] };
  const addresses = items.filter((pod) => pod.spec.hostNetwork !== true).map((pod) => pod.status.podIP);
  const count = (cidr: string): number => addresses.filter((address) => contains(cidr, address)).length;
  return { canal: count(podCidr), cilium: count(targetPodCidr) };
}

/** Returns the final summary of a demo as text. */
export function summary(
  status: MigrationReport,
  before: PodCounts,
  after: PodCounts,
  seen: readonly TargetTotals[]
): string {
  const lines = [
    '',
    table([
      ['', 'before', 'after'],
      ['pods on Canal', before.canal, after.canal],
      ['pods on Cilium', before.cilium, after.cilium],
    ]),
    '',
    table([['node', 'seconds'], ...status.nodes.map((node) => [node.name, node.seconds ?? '–'])]),
    '',
    table([
      ['phase', 'seconds'],
      ...status.timeline
        .filter((entry) => entry.seconds !== undefined)
        .map((entry) => [entry.phase, entry.seconds?.toFixed(1) ?? '']),
      ['total', status.timeline.reduce((sum, entry) => sum + (entry.seconds ?? 0), 0).toFixed(1)],
    ]),
    '',
    ...ledgerLines(status.ledger ?? {}),
    '',
    'Sample application:',
    '',
    table([
      ['requests to', 'sent', 'lost'],
      ...seen
        .filter(({ target }) => target !== forbiddenTarget)
        .map(({ target, sent, failed }) => [target, sent, failed]),
    ]),
  ];
  const forbidden = seen.find(({ target }) => target === forbiddenTarget);
  if (forbidden !== undefined) {
    lines.push(
      '',
      `Of ${forbidden.sent} requests that a NetworkPolicy forbids, ${forbidden.sent - forbidden.failed} were answered.`
    );
  }
  return lines.join('\n');
}

/** Returns the measurements of the probers: a line for each kind of path and stage. */
function ledgerLines(ledger: Ledger): string[] {
  const header = ['path', 'stage', 'sent', 'lost', 'lost ms', 'longest ms', 'resets', 'p50 ms', 'p99 ms'];
  const rows = Object.keys(pathKinds).flatMap((kind) =>
    ledgerStages.flatMap((stage) =>
      byKind(ledger[stage] ?? [])
        .filter((row) => row.kind === kind)
        .map((row) => [
          ...[kind, stage, row.sent, row.lost, row.lostMs, row.longestMs, row.resets, row.p50Ms, row.p99Ms],
        ])
    )
  );
  return [
    'Ledger of the probers (samples on pod-pod/denied count as lost when they were answered):',
    '',
    table([header, ...rows]),
  ];
}

/** Aligns columns: the first to the left, the others to the right. */
function table(rows: readonly (readonly (string | number)[])[]): string {
  const texts = rows.map((row) => row.map(String));
  const widths = (texts[0] ?? []).map((_, column) => Math.max(...texts.map((row) => row[column]?.length ?? 0)));
  return texts
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join('  ')
    )
    .join('\n');
}
