import { CancellationScope, isCancellation, workflowInfo } from '@temporalio/workflow';
import { failSoon } from '../activity-options.ts';
import { failureSummary } from '../support/operator-failure.ts';
import type { ActivityInput } from '../support/run.ts';
import type { Migration } from './migration.ts';

/**
 * Runs work with the lock of the cluster. Releases it afterwards and reports the end to the fleet, also after a failure
 * or a cancellation.
 * Continue-as-new keeps it: the first run's ID is unchanged.
 */
export async function withLock<T>(migration: Migration, work: () => Promise<T>): Promise<T> {
  const { workflowId, firstExecutionRunId } = workflowInfo();
  const holder = { cluster: migration.cluster, workflowId, runId: firstExecutionRunId };
  try {
    await migration.run('acquireLock', 'lock cluster', holder);
    return await work();
  } finally {
    if (!migration.isContinuingAsNew) {
      await CancellationScope.nonCancellable(() => release(migration, holder));
      await migration.board.end();
    }
  }
}

/** The release has a limit: a lock whose holder has ended is taken over by the next run. */
async function release(migration: Migration, holder: ActivityInput<'releaseLock'>): Promise<void> {
  try {
    await migration.run('releaseLock', 'unlock cluster', holder, failSoon);
  } catch (error) {
    if (isCancellation(error)) throw error;
    migration.note(
      `the lock of the cluster was not released (${failureSummary(error).message}); the next run takes it over`
    );
  }
}
