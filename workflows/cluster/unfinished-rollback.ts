import type { Decision } from '../../model/decision.ts';
import { attribution } from './approvals.ts';
import type { Migration } from './migration.ts';

/**
 * Pauses a run that has found the unfinished rollback of an earlier one: an operator decides whether it is completed, or
 * the cluster is migrated again. A rollback or an abort that is already requested is the answer.
 */
export function askAboutUnfinishedRollback(migration: Migration, rollback: Decision): void {
  const { aborted, rollbackAll } = migration.state.decisions;
  if (aborted !== undefined || rollbackAll !== undefined) return;
  migration.pauseOrNote(
    `an earlier run began to roll back all nodes at ${rollback.at}, as requested by ${attribution(rollback)}, and did not ` +
      'complete it. Roll back all nodes to complete it, or resume to migrate the cluster again'
  );
}

/** Removes the record of an unfinished rollback before the first change of a run that migrates the cluster again. */
export async function forgetUnfinishedRollback({ run, state, cluster }: Migration): Promise<void> {
  if (state.rollbackBegun === undefined) return;
  await run('removeRollbackRecord', 'remove the record of a rollback', { cluster });
  delete state.rollbackBegun;
}
