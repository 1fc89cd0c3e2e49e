import { ApplicationFailure } from '@temporalio/workflow';
import type { LedgerStage } from '../../../model/ledger.ts';
import { findingsText } from '../../../model/removal-findings.ts';
import type { Phase } from '../../../model/status.ts';
import { waitForApproval } from '../approvals.ts';
import type { ClusterContext } from '../context.ts';
import { cleanNodes } from '../clean-nodes.ts';
import { checkRecentGates, checkUnjudgedGates } from '../gates.ts';
import { finishRemaining, removeHelpers } from '../finish-nodes.ts';
import type { Migration } from '../migration.ts';
import { addRemaining } from '../remaining.ts';
import { waitForWindow } from '../windows.ts';

/**
 * Removes Canal and the objects of this service, and verifies each removal. An interrupted cleanup can be repeated and
 * continues from there. Our namespace marks an unfinished cleanup, so it is removed last.
 */
export async function cleanup(context: ClusterContext): Promise<Phase> {
  const { migration } = context;
  const { run, cluster, state, status, input } = migration;
  // An earlier run has removed everything, except on nodes that were switched off.
  if (state.unfinished?.onlyNodes === true) return endCleanup(migration);
  if (status.pointOfNoReturn === undefined && !(await mayRemoveCanal(migration))) return 'cleanup';
  await migration.once('cleanup: export', async () => {
    state.calicoExport = await run('exportCalico', "export Calico's objects", { cluster });
  });
  // Messages during the export are the last ones that keep Canal.
  if (status.pointOfNoReturn === undefined && (status.paused !== undefined || migration.isInterrupted))
    return 'cleanup';
  await passPointOfNoReturn(migration);
  await migration.once('cleanup: Canal', () => run('removeCanal', 'remove Canal', { cluster }));
  if (!(await cleanNodes(context, 'canal'))) return 'cleanup';
  await run('removeCanalTraces', "remove Calico's CRDs and node annotations", { cluster });
  await recordStage(migration, 'during', 0);
  await recordStage(migration, 'after', input.ledger.afterSeconds);
  // A path that is lost now was lost by the removal, and nothing would notice it later.
  if (!(await checkUnjudgedGates(migration, 'the removal of Canal'))) return 'cleanup';
  return endCleanup(migration);
}

async function endCleanup(migration: Migration): Promise<Phase> {
  const { state } = migration;
  await removeHelpers(migration);
  if (state.calicoExport.length > 0)
    migration.note(`Calico's objects were exported to ConfigMaps ${state.calicoExport.join(', ')}`);
  return 'done';
}

const canalRemoval = { name: 'the removal of Canal', step: { kind: 'removal' as const } };

/** Records a stage of the ledger. It is about the report only: an operator may skip it. */
async function recordStage({ runSkippable, cluster, state }: Migration, stage: LedgerStage, seconds: number) {
  const summary = `record stage ${stage} of the ledger`;
  const rows = await runSkippable('snapshotLedger', summary, { cluster, stage, seconds });
  if (rows !== undefined) state.ledger[stage] = rows;
}

/** @returns true when the removal of Canal is approved and may start now. */
async function mayRemoveCanal(migration: Migration): Promise<boolean> {
  const { status, input } = migration;
  if (input.cleanup === 'automatic') {
    const reason = 'cleanup is "automatic" in the input';
    status.approvals.cleanup ??= { by: 'cni-live-migration', reason, at: new Date().toISOString() };
  }
  if (!(await waitForApproval(migration, 'cleanup')) || !(await waitForWindow(migration, canalRemoval))) return false;
  // Canal still runs, so that nothing is cleaned yet.
  await finishRemaining(migration, ['restart-agent']);
  return (await checkRecentGates(migration, 'the cleanup')) && verifyBeforeRemoval(migration);
}

/**
 * Verifies, directly before the point of no return, that nothing uses Canal. What does not hold pauses the migration. Migrated
 * nodes that are switched off remain to be finished.
 * @returns false when it is paused, so that the caller must look again first.
 * @throws ApplicationFailure VerificationFailed, with `onFailure: stop`.
 */
async function verifyBeforeRemoval(migration: Migration): Promise<boolean> {
  const { run, cluster, input, releases } = migration;
  const target = { cluster, targetPodCidr: input.podCidr, expected: releases.cutover.config };
  const verification = await run('verifyBeforeRemoval', 'verify that nothing uses Canal', target);
  if (verification.findings.length === 0) {
    addRemaining(migration, verification.silent ?? [], ['restart-agent', 'clean-canal']);
    return true;
  }
  const problem = `Canal cannot be removed yet: ${findingsText(verification)}`;
  if (input.onFailure === 'stop') throw ApplicationFailure.nonRetryable(problem, 'VerificationFailed');
  migration.pauseFor(`${problem}. Resume to verify again`);
  return false;
}

/** Records the point of no return, in the state and in the cluster. From here on, no rollback is accepted. */
async function passPointOfNoReturn(migration: Migration): Promise<void> {
  const { state, status, cluster } = migration;
  // Before the record in the cluster: a message that arrives meanwhile must not be accepted.
  if (status.pointOfNoReturn === undefined) {
    status.pointOfNoReturn = new Date().toISOString();
    // The gate at the end evaluates the whole removal.
    state.unjudgedSinceMs = Date.now();
  }
  const reason = 'an earlier run removed Canal, and left no record of its approval';
  const approval = status.approvals.cleanup ?? { by: 'unknown', reason, at: status.pointOfNoReturn };
  migration.publish();
  await migration.once('cleanup: point of no return', () =>
    migration.run('recordPointOfNoReturn', 'record point of no return', { cluster, approval })
  );
}
