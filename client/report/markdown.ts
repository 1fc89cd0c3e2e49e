import { ledgerMarkdown } from '../../model/ledger.ts';
import { policyMarkdown } from '../../model/policies.ts';
import { preflightMarkdown } from '../../model/preflight.ts';
import type { Decision } from '../../model/status.ts';
import { nodeBars, phaseBars, type Bar, type ReportData } from './data.ts';

/** The report of a migration, as Markdown. */
export function markdownReport(data: ReportData): string {
  const { status, preflight, policies, ledger, workflowId, outcome, failure, calicoExport, madeAt } = data;
  const lines = [
    `# Migration of ${text(status.cluster)} from Canal to Cilium`,
    '',
    `Workflow \`${workflowId}\`: ${outcome.toLowerCase()}, phase ${status.phase}. Report of ${madeAt}.`,
    '',
  ];
  if (failure !== undefined) lines.push(`Failed: ${text(failure)}`, '');
  lines.push('## Decisions', '', '| what | who | why | when |', '|---|---|---|---|');
  for (const [what, decision] of decisions(data)) {
    lines.push(`| ${what} | ${text(decision.by)} | ${text(decision.reason)} | ${decision.at} |`);
  }
  lines.push(
    '',
    '## Timeline',
    '',
    ...timeline('phases', phaseBars(data)),
    ...timeline('nodes, wave by wave', nodeBars(data))
  );
  lines.push('## Nodes', '', '| node | wave | state | seconds | |', '|---|---|---|---|---|');
  for (const node of status.nodes) {
    const cells = [node.name, node.wave ?? '', node.state, node.seconds ?? '', node.failure?.message ?? ''];
    lines.push(`| ${cells.map((cell) => text(String(cell))).join(' | ')} |`);
  }
  lines.push(
    '',
    '## What was measured',
    '',
    Object.keys(ledger).length === 0 ? 'Nothing yet.' : ledgerMarkdown(ledger)
  );
  lines.push(
    '',
    '## Checks',
    '',
    preflight.length === 0 ? 'None have run.' : preflightMarkdown(preflight).replaceAll('<', '&lt;')
  );
  if (policies !== undefined) lines.push('', '## Policies', '', policyMarkdown(policies));
  if (calicoExport.length > 0) lines.push('', `Calico's objects were exported to ${calicoExport.join(', ')}.`);
  if (status.notes.length > 0) lines.push('', '## Notes', '', ...status.notes.map((note) => `- ${text(note)}`));
  return `${lines.join('\n')}\n`;
}

/** Who decided what, in the order of time. */
export function decisions({ status }: Pick<ReportData, 'status'>): [what: string, decision: Decision][] {
  const found: [string, Decision | undefined][] = [
    ['plan', status.approvals.plan],
    ...status.nodes.flatMap((node): [string, Decision | undefined][] => [
      [`node ${node.name}`, node.approval],
      [`${node.name}: ${node.state}`, node.decision],
    ]),
    ['clean-up', status.approvals.cleanup],
    ['pause', status.paused],
  ];
  return found
    .filter((one): one is [string, Decision] => one[1] !== undefined)
    .sort(([, a], [, b]) => (a.at < b.at ? -1 : 1));
}

function timeline(title: string, bars: readonly Bar[]): string[] {
  if (bars.length === 0) return [];
  const name = (label: string): string => label.replaceAll(/[:;#,]/g, ' ').replaceAll(/\s+/g, ' ');
  const rows = bars.map(({ label, fromMs, toMs }) => `    ${name(label)} : ${fromMs}, ${Math.max(toMs, fromMs + 1)}`);
  const head = ['gantt', `    title ${title}`, '    dateFormat x', '    axisFormat %H:%M:%S'];
  return ['```mermaid', ...head, ...rows, '```', ''];
}

function text(raw: string): string {
  return raw.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll(/\s+/g, ' ');
}
