import type { NodeDrain, Plan } from '../plan.ts';
import { summarizeLines } from '../summarize.ts';
import { durationText } from '../step-times.ts';
import { cell, code, codeBlock, line } from './escape.ts';
import { tableHeader, tableRow } from './table.ts';

/** Maximum number of waves, and of items in a list, that are shown one by one. */
const maxWaves = 50;
const maxItems = 100;

/** Formats the plan as Markdown. */
export function planMarkdown(plan: Plan): string {
  const { source, target, estimate: time } = plan;
  const lines = [
    cell(
      `Canal ${source.version} (${source.podCidr}, VXLAN on UDP ${source.port}) → Cilium ${target.version} ` +
        `(${target.podCidr}, VXLAN on UDP ${target.tunnelPort}), from ${target.chart}`
    ),
    '',
    ...(plan.digest === undefined ? [] : [`Digest: ${code(plan.digest)}, which an approval names.`]),
    ...(plan.release === undefined ? [] : [`Chart: ${code(plan.release.chartDigest)}.`]),
    `Estimated duration: ${Math.ceil(time.seconds / 60)} minutes, without waits for operators (${time.nodeSeconds} s per node: ${cell(time.basis)}).`,
    `Point of no return: ${cell(plan.pointOfNoReturn)}.`,
    `Backup: ${cell(plan.backup ?? 'none in the input')}.`,
    '',
    ...tableHeader('wave', 'nodes', 'reason', 'pods evicted', 'pods recycled', 'need consent'),
  ];
  const drainsByNode = new Map(plan.drains.map((drain) => [drain.node, drain]));
  for (const [index, { nodes, reason }] of plan.waves.slice(0, maxWaves).entries()) {
    const drains = nodes.flatMap((node) => drainsByNode.get(node) ?? []);
    // The query leaves out nodes of a large cluster.
    const sum = (field: keyof NodeDrain['counts']): number | string =>
      drains.length < nodes.length ? '' : drains.reduce((all, { counts }) => all + counts[field], 0);
    const cells = [index + 1, nodes.join(', '), reason, sum('evicted'), sum('recycled'), sum('refused')];
    lines.push(tableRow(cells));
  }
  if (plan.waves.length > maxWaves) lines.push('', `and ${plan.waves.length - maxWaves} more waves`);
  const section = (title: string, items: readonly string[]): void => {
    if (items.length === 0) return;
    lines.push('', `${title}:`, '', ...summarizeLines(items, maxItems).map((item) => `- ${line(item)}`));
  };
  section('Already migrated', plan.migrated);
  section('Not Ready, sidelined', plan.notReady);
  section(
    'Data that is lost with consent',
    plan.drains.flatMap(({ dataLost }) => dataLost)
  );
  section(
    'Pods of Jobs that are interrupted',
    plan.drains.flatMap(({ jobs = [] }) => jobs)
  );
  section(
    'Pods that need consent',
    plan.drains.flatMap(({ refused }) => refused)
  );
  section(
    'Waived checks',
    plan.waived.map(({ check, reason }) => `${check}: ${reason}`)
  );
  section(
    'Steps that are longer than every maintenance window, which may end after it',
    (plan.longerThanWindows ?? []).map(
      ({ step, seconds, windowSeconds }) =>
        `${step}: about ${durationText(seconds)}, and the longest window has ${durationText(windowSeconds)}`
    )
  );
  section('Images', plan.images ?? []);
  section('Objects that are created', plan.objects);
  if (plan.changes.length > 0)
    lines.push('', 'Helm values, compared with the deployed ones:', '', ...codeBlock(plan.changes, 'diff'));
  return lines.join('\n');
}
