import { CancellationScope } from '@temporalio/workflow';
import { patient } from '../activity-proxies.ts';
import type { MigrationInput } from '../../model/input.ts';
import { withWaivers, type CheckOutcome } from '../../model/preflight.ts';

/** Runs every check, marks what was waived, and leaves nothing behind, cancelled or not. */
export async function runChecks(input: MigrationInput): Promise<CheckOutcome[]> {
  const { cluster, nodePods } = input;
  try {
    const outcomes = await patient.runPreflight.executeWithOptions({ summary: 'checks' }, [{ input }]);
    return withWaivers(outcomes, input.waivers);
  } finally {
    if (nodePods) {
      await CancellationScope.nonCancellable(() =>
        patient.removeInspectors.executeWithOptions({ summary: 'remove the pods of the checks' }, [{ cluster }])
      );
    }
  }
}
