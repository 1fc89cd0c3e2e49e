import type { Results } from './execute.ts';
import type { Plan } from './plan.ts';

/**
 * The last lines of a run: each failure, then "N passed, N failed". A step without a result was not run, and has failed.
 * @param stopReason why the run did not come to its end. @default it did
 */
export function summarize(
  plan: Plan,
  results: Results,
  stopReason = 'the run ended early'
): { lines: readonly string[]; passed: number; failed: number } {
  const lines: string[] = [];
  let passed = 0;
  let failed = 0;
  for (const { name, kind } of plan.steps) {
    const result = results.get(name);
    if (result !== undefined) {
      passed += result.passed;
      failed += result.failed;
      lines.push(...result.failures.map((failure) => `FAILED  ${failure}`));
      if (result.machine !== '') lines.push(`        ${name}: ${result.machine}`);
    } else if (kind !== 'tools') {
      failed++;
      lines.push(`FAILED  ${name}: not run, because ${stopReason}`);
    }
  }
  lines.push(`${passed} passed, ${failed} failed`);
  return { lines, passed, failed };
}
