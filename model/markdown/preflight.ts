import type { CheckOutcome } from '../preflight.ts';
import { cell, line } from './escape.ts';

/** Formats the outcomes as Markdown: those that need attention first, each with its remedy. */
export function preflightMarkdown(outcomes: readonly CheckOutcome[]): string {
  const passed = outcomes.filter(({ verdict }) => verdict === 'pass');
  const lines: string[] = [];
  for (const verdict of ['block', 'warn'] as const) {
    for (const { check, evidence, fix, waived } of outcomes.filter((outcome) => outcome.verdict === verdict)) {
      lines.push(`- **${waived === undefined ? verdict : 'waived'} ${check}**: ${cell(evidence.join('; '))}`);
      if (waived !== undefined) lines.push(`  - waived: ${cell(waived)}`);
      else if (fix !== undefined) lines.push(`  - ${line(fix)}`);
    }
  }
  lines.push(`- ${passed.length} checks passed: ${passed.map(({ check }) => check).join(', ')}`);
  return lines.join('\n');
}
