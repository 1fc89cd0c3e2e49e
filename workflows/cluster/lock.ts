import { CancellationScope, TemporalFailure, isCancellation, workflowInfo } from '@temporalio/workflow';
import { failSoon } from '../activity-options.ts';
import { failureSummary } from '../support/operator-failure.ts';
import type { ActivityInput } from '../support/run.ts';
import { runUntilAborted } from './interruption.ts';
import type { Migration } from './migration.ts';

/**
 * Runs work with the lock of the cluster. Releases it afterwards and reports the end to the fleet, also after a failure
 * or a cancellation.
 * Continue-as-new keeps it: the first run's ID is unchanged. So does a bug, which fails the workflow task: a corrected
 * build repeats the task, and would not find a release in its history.
 */
export async function withLock<T>(migration: Migration, work: () => Promise<T>): Promise<T> {
  const holder = lockHolder(migration);
  const result = await releaseOnFailure(migration, async () => {
    await runUntilAborted(migration, () => migration.run('acquireLock', 'lock cluster', holder));
    return work();
  });
  await release(migration);
  return result;
}

/** Runs work of a run that has the lock already, and releases it when the work fails or is cancelled. */
export async function releaseOnFailure<T>(migration: Migration, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof TemporalFailure) await release(migration);
    throw error;
  }
}

function lockHolder({ cluster }: Migration): ActivityInput<'releaseLock'> {
  const { workflowId, firstExecutionRunId } = workflowInfo();
  return { cluster, workflowId, runId: firstExecutionRunId };
}

/** The release has a limit: a lock whose holder has ended is taken over by the next run. */
async function release(migration: Migration): Promise<void> {
  migration.refuseMessages('the migration has ended');
  try {
    const holder = lockHolder(migration);
    await CancellationScope.nonCancellable(() => migration.run('releaseLock', 'unlock cluster', holder, failSoon));
  } catch (error) {
    if (isCancellation(error)) throw error;
    migration.note(
      `the lock of the cluster was not released (${failureSummary(error).message}); the next run takes it over`
    );
  }
  await migration.board.end();
}
