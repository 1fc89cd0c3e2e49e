import { CancellationScope, TemporalFailure } from '@temporalio/workflow';
import type { MigrationInput } from '../../model/input.ts';
import { applyWaivers, type CheckOutcome } from '../../model/preflight.ts';
import { failSoon } from '../activity-options.ts';
import type { RunActivity } from '../support/run.ts';

/**
 * Runs all checks, marks waived outcomes, and removes everything that the checks created, also after a cancellation.
 */
export async function runChecks(run: RunActivity, input: MigrationInput): Promise<CheckOutcome[]> {
  const { cluster, nodeInspection } = input;
  const removal = ['removeInspectors', 'remove inspection pods', { cluster }] as const;
  try {
    const outcomes = await run('runPreflight', 'run checks', { input });
    if (nodeInspection) await run(...removal);
    return applyWaivers(outcomes, input.waivers);
  } catch (error) {
    // With a limit, so that a run which an operator ends does not wait for an API server that is down: the pods have a
    // deadline of their own. The original failure matters more.
    if (nodeInspection && error instanceof TemporalFailure)
      await CancellationScope.nonCancellable(() => run(...removal, failSoon)).catch(() => undefined);
    throw error;
  }
}
