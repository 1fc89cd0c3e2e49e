import type { PolicyReport } from '../policies.ts';
import { cell } from './escape.ts';
import { tableHeader } from './table.ts';

const verdictTexts = { equal: 'the same', 'equal-if': 'the same under conditions', different: '**different**' };

/** Formats the policy report as Markdown. */
export function policyMarkdown(report: PolicyReport): string {
  const { counts, flows, equal, policies, more } = report;
  const kinds = Object.entries(counts).map(([kind, count]) => `${count} ${kind}`);
  const lines = [
    `Policies: ${kinds.join(', ') || 'none'}. ${equal} have the same verdict on Cilium for every one of ${flows} kinds of flows.`,
  ];
  if (policies.length > 0)
    lines.push('', ...tableHeader('policy', 'verdict on Cilium', 'conditions and reasons', 'created objects'));
  for (const { policy, verdict, conditions, reasons, objects } of policies) {
    const reasonCell = [...conditions, ...reasons].map(cell).join('<br>');
    lines.push(`| ${cell(policy)} | ${verdictTexts[verdict]} | ${reasonCell} | ${objects.map(cell).join('<br>')} |`);
  }
  if (more > 0) lines.push('', `And ${more} more.`);
  return lines.join('\n');
}
