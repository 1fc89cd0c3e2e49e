import { ApplicationFailure } from '@temporalio/workflow';
import { blockingOutcomes, preflightFailure } from '../../../model/preflight.ts';
import type { Phase } from '../../../model/status.ts';
import { runChecks } from '../checks.ts';
import type { ClusterContext } from '../context.ts';
import { finishRemaining, removeHelpers } from '../finish-nodes.ts';
import type { Migration } from '../migration.ts';

/**
 * Runs the checks, unless an earlier run has already passed the cutover: a return to coexistence would remove the nodes'
 * CNI.
 */
export async function preflight({ migration }: ClusterContext): Promise<Phase> {
  const { state, status } = migration;
  if (status.pointOfNoReturn !== undefined) return 'cleanup';
  if (state.ciliumOwnsCni) return 'cutover';
  await finishRollback(migration);
  await requireChecks(migration);
  return 'plan';
}

/** Finishes the nodes that are back and without which an earlier rollback of all nodes has ended. */
async function finishRollback(migration: Migration): Promise<void> {
  const { state, status } = migration;
  if (state.unfinished?.onlyNodes !== true) return;
  await finishRemaining(migration, ['clean-cilium']);
  // Nothing else of that rollback is left.
  if (status.remaining === undefined) await removeHelpers(migration);
}

/**
 * Runs the checks once.
 * @throws ApplicationFailure PreflightBlocked, before any change, when one blocks.
 */
export async function requireChecks(migration: Migration): Promise<void> {
  const { state } = migration;
  state.preflight ??= await runChecks(migration.run, migration.input);
  migration.publish();
  const failed = preflightFailure(state.preflight);
  if (failed === undefined) return;
  const details = [blockingOutcomes(state.preflight)];
  throw ApplicationFailure.create({ ...failed, nonRetryable: true, details });
}
