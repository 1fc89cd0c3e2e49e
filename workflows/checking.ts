import { patient } from './activity-proxies.ts';
import type { MigrationInput } from './model/input.ts';
import { withWaivers, type CheckOutcome } from './model/preflight.ts';

/** Runs every check, and marks what was waived. */
export async function runChecks(input: MigrationInput): Promise<CheckOutcome[]> {
  const outcomes = await patient.runPreflight.executeWithOptions({ summary: 'checks' }, [{ input }]);
  return withWaivers(outcomes, input.waivers);
}
