import { isMeasured } from '../../model/ledger.ts';
import { ledgerMarkdown } from '../../model/markdown/ledger.ts';
import { policyMarkdown } from '../../model/markdown/policies.ts';
import { preflightMarkdown } from '../../model/markdown/preflight.ts';
import { cell, code, line } from '../../model/markdown/escape.ts';
import { tableHeader, tableRow } from '../../model/markdown/table.ts';
import { oneLine } from '../../model/printable.ts';
import { remainingText } from '../../model/remaining-nodes.ts';
import { decisions, nodeBars, phaseBars, type Bar, type ReportData } from './data.ts';

/** Renders the report of a migration as Markdown. */
export function markdownReport(data: ReportData): string {
  const { status, ledger, workflowId, outcome, failure, calicoExport, createdAt } = data;
  const lines = [
    `# Migration of ${cell(status.cluster)} from Canal to Cilium`,
    '',
    `Workflow ${code(workflowId)}: ${cell(outcome.toLowerCase())}, phase ${cell(status.phase)}. Report created at ${createdAt}.`,
    '',
  ];
  if (status.planDigest !== undefined) lines.push(`Plan: ${code(status.planDigest)}`, '');
  if (failure !== undefined) lines.push(`Failed: ${cell(failure)}`, '');
  lines.push('## Decisions', '', ...decisionTable(data), '');
  lines.push('## Timeline', '', ...timeline('phases', phaseBars(data)));
  lines.push(...timeline('nodes, by wave', nodeBars(data)));
  lines.push('## Nodes', '', ...nodeTable(data), '');
  const { remaining = [] } = status;
  if (remaining.length > 0)
    lines.push('## Remaining nodes', '', ...remaining.map((node) => `- ${line(remainingText(node))}`), '');
  const measured = isMeasured(ledger);
  lines.push('## Measurements', '', measured ? ledgerMarkdown(ledger) : 'No measurements yet.', '');
  lines.push('## Checks', '', ...checkLines(data));
  if (calicoExport.length > 0) lines.push('', `Calico's objects were exported to ${cell(calicoExport.join(', '))}.`);
  if (status.notes.length > 0) lines.push('', '## Notes', '', ...status.notes.map((note) => `- ${line(note)}`));
  return `${lines.join('\n')}\n`;
}

function decisionTable(data: ReportData): string[] {
  const rows = decisions(data).map(([subject, { by, principal = '', reason, at }]) =>
    tableRow([subject, by, principal, reason, at])
  );
  return [...tableHeader('subject', 'claimed by', 'authenticated user', 'reason', 'time'), ...rows];
}

function nodeTable({ status }: ReportData): string[] {
  const rows = status.nodes.map(({ name, wave = '', state, seconds = '', failure }) =>
    tableRow([name, wave, state, seconds, failure?.message ?? ''])
  );
  return [...tableHeader('node', 'wave', 'state', 'seconds', ''), ...rows];
}

function checkLines({ preflight, policies }: ReportData): string[] {
  const checks = preflight.length === 0 ? 'No checks have run.' : preflightMarkdown(preflight);
  return policies === undefined ? [checks] : [checks, '', '## Policies', '', policyMarkdown(policies)];
}

function timeline(title: string, bars: readonly Bar[]): string[] {
  if (bars.length === 0) return [];
  const name = (label: string): string => oneLine(label.replaceAll(/[:;#,`%]/g, ' '));
  const rows = bars.map(({ label, fromMs, toMs }) => `    ${name(label)} : ${fromMs}, ${Math.max(toMs, fromMs + 1)}`);
  const head = ['gantt', `    title ${title}`, '    dateFormat x', '    axisFormat %H:%M:%S'];
  return ['```mermaid', ...head, ...rows, '```', ''];
}
