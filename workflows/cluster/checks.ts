import { CancellationScope } from '@temporalio/workflow';
import type { MigrationInput } from '../../model/input.ts';
import { applyWaivers, type CheckOutcome } from '../../model/preflight.ts';
import type { RunActivity } from '../support/run.ts';

/**
 * Runs all checks, marks waived outcomes, and removes everything that the checks created, also after a cancellation.
 */
export async function runChecks(run: RunActivity, input: MigrationInput): Promise<CheckOutcome[]> {
  const { cluster, nodeInspection } = input;
  try {
    const outcomes = await run('runPreflight', 'run checks', { input });
    return applyWaivers(outcomes, input.waivers);
  } finally {
    if (nodeInspection) {
      await CancellationScope.nonCancellable(() => run('removeInspectors', 'remove inspection pods', { cluster }));
    }
  }
}
