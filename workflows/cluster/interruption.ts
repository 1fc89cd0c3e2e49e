import { ApplicationFailure, CancellationScope, TemporalFailure, isCancellation } from '@temporalio/workflow';
import type { Decision } from '../../model/decision.ts';
import type { MigrationStatus, Phase } from '../../model/status.ts';
import { failureSummary } from '../support/operator-failure.ts';
import { attribution } from './approvals.ts';
import type { ClusterContext } from './context.ts';
import type { Migration } from './migration.ts';

/** Phases whose failure ends the run: nothing was changed yet. */
const unchangedPhases: readonly Phase[] = ['preflight', 'plan'];

/**
 * Attempts the current phase. A pause comes first. An abort, a rejection or a rollback of all nodes cancels the phase. A
 * failure pauses the migration, so that an operator repairs the cause and resumes, or rolls back.
 * @returns the next phase.
 * @throws ApplicationFailure Aborted, Rejected; and every failure before the first change, or with `onFailure: stop`.
 */
export async function attempt(
  context: ClusterContext,
  runPhase: (context: ClusterContext) => Promise<Phase>
): Promise<Phase> {
  const { migration } = context;
  const { phase } = migration.status;
  if (migration.isInterrupted) return interrupt(migration);
  try {
    return await runInterruptible(migration, async () => {
      // In the phase migrate, a pause lets requests of operators be executed.
      if (phase !== 'migrate') await migration.waitUntilResumed();
      return migration.status.paused !== undefined && phase !== 'migrate' ? phase : await runPhase(context);
    });
  } catch (error) {
    // Also when a step failed meanwhile: the decision of the operator is later than its start.
    if (error instanceof TemporalFailure && migration.isInterrupted) return interrupt(migration);
    if (!mayBeResumed(migration, error)) throw error;
    const { type, message } = failureSummary(error);
    migration.pauseFor(`${phase} failed (${type}): ${message}. Repair the cause, then resume`);
    return phase;
  }
}

/**
 * Runs work outside the phases that an abort cancels at any time. A rollback of all nodes that follows the abort replaces
 * it: the cancelled work is repeated then.
 * @throws ApplicationFailure Aborted
 */
export async function runUntilAborted<T>(migration: Migration, work: () => Promise<T>): Promise<T> {
  const { decisions } = migration.state;
  const isAborted = (): boolean => decisions.aborted !== undefined && decisions.rollbackAll === undefined;
  let wasAborted = false;
  try {
    if (isAborted()) throw abortion(migration);
    return await runInterruptible(migration, work, () => (wasAborted ||= isAborted()));
  } catch (error) {
    if (!(error instanceof TemporalFailure)) throw error;
    // Also when the work failed meanwhile: the server reports the failure of an activity, and not that it was cancelled.
    if (isAborted()) throw abortion(migration);
    const isRunCancelled = CancellationScope.current().consideredCancelled;
    if (wasAborted && !isRunCancelled) return work();
    throw error;
  }
}

/** Runs work that a message cancels: by default an abort, a rejection, or a rollback of all nodes. */
async function runInterruptible<T>(
  migration: Migration,
  work: () => Promise<T>,
  isInterrupted = (): boolean => migration.isInterrupted
): Promise<T> {
  const scope = new CancellationScope();
  const listener = (): void => {
    if (isInterrupted()) scope.cancel();
  };
  migration.listeners.push(listener);
  try {
    return await scope.run(work);
  } finally {
    migration.listeners.splice(migration.listeners.indexOf(listener), 1);
  }
}

function mayBeResumed({ status, input }: Migration, error: unknown): boolean {
  if (!(error instanceof TemporalFailure) || isCancellation(error) || input.onFailure === 'stop') return false;
  return !unchangedPhases.includes(status.phase);
}

/**
 * Acts on an abort, a rejection or a rollback of all nodes, once the phase has ended.
 * @throws ApplicationFailure Aborted, Rejected
 */
function interrupt(migration: Migration): Phase {
  const { state, status } = migration;
  const { rejected, rollbackAll } = state.decisions;
  delete status.paused;
  if (rollbackAll !== undefined) {
    state.doneSteps.length = 0;
    return 'rolling-back';
  }
  throw rejected === undefined ? abortion(migration) : rejection(rejected, status);
}

/** What a rejection leaves, by phase. */
const consequences: Partial<Record<Phase, string>> = {
  plan: 'nothing was changed',
  cutover: 'every pod is on Cilium, and Canal stays installed next to it',
  cleanup: 'Cilium owns every pod, and Canal stays installed',
};

function rejection(rejected: Decision, { phase }: MigrationStatus): ApplicationFailure {
  const consequence = consequences[phase] ?? '';
  return ApplicationFailure.nonRetryable(
    `the ${phase} was rejected by ${attribution(rejected)}; ${consequence}`,
    'Rejected'
  );
}

function abortion({ state, status }: Migration): ApplicationFailure {
  const { aborted } = state.decisions;
  return ApplicationFailure.nonRetryable(
    `aborted by ${attribution(aborted ?? { by: 'unnamed', reason: '', at: '' })} in the phase ${status.phase}; ` +
      `${migratedText(status)}. To continue, start the migration again; to return to Canal, also send ` +
      'rollback {"all": true} to that run',
    'Aborted'
  );
}

function migratedText({ nodes }: MigrationStatus): string {
  const migrated = nodes.filter((node) => node.state === 'migrated').length;
  return `${migrated} of ${nodes.length} nodes are on Cilium`;
}
