import type { FleetCluster, FleetStatus } from '../fleet-status.ts';
import { countsText } from '../status.ts';
import { cell, line } from './escape.ts';
import { tableHeader, tableRow } from './table.ts';

/** Formats the status of a fleet as Markdown, for the current details in the Web UI. */
export function fleetMarkdown(status: FleetStatus): string {
  const lines = [`**${cell(status.fleet)}**: ${countsText(status.clusters)}`, ''];
  if (status.paused !== undefined) lines.push(`Paused by ${cell(status.paused.by)}: ${cell(status.paused.reason)}`, '');
  if (status.waitingFor !== undefined) lines.push(`Waiting for ${cell(status.waitingFor)}`, '');
  lines.push(...tableHeader('cluster', 'state', 'phase', 'nodes', ''), ...status.clusters.map(clusterRow));
  if (status.notes.length > 0) lines.push('', 'Notes:', '', ...status.notes.map((note) => `- ${line(note)}`));
  return lines.join('\n');
}

function clusterRow({ cluster, canary, state, progress, failure }: FleetCluster): string {
  const nodes = progress === undefined ? '' : `${progress.migrated} of ${progress.nodes}`;
  const details = failure?.message ?? progress?.waitingFor ?? '';
  return tableRow([
    `${cluster}${canary ? ' (canary)' : ''}`,
    state,
    progress?.phase ?? '',
    nodes,
    details.slice(0, 300),
  ]);
}
