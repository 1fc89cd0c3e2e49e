import { ApplicationFailure, CancellationScope, TemporalFailure, isCancellation } from '@temporalio/workflow';
import type { MigrationStatus, Phase } from '../../model/status.ts';
import { failureSummary } from '../support/operator-failure.ts';
import { attribution } from './approvals.ts';
import type { ClusterContext } from './context.ts';
import type { Migration } from './migration.ts';

/** Phases whose failure ends the run: nothing was changed yet. */
const unchangedPhases: readonly Phase[] = ['preflight', 'plan'];

/** Failures that are decisions of an operator. */
const decisions: readonly string[] = ['Aborted', 'Rejected'];

/**
 * Attempts the current phase. A pause comes first. An abort, or a rollback of all nodes, cancels the phase. A failure
 * pauses the migration, so that an operator repairs the cause and resumes, or rolls back.
 * @returns the next phase.
 * @throws ApplicationFailure Aborted; and every failure before the first change, or with `onFailure: stop`.
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
    if (isCancellation(error) && migration.isInterrupted) return interrupt(migration);
    if (!mayBeResumed(migration, error)) throw error;
    const { type, message } = failureSummary(error);
    migration.pauseFor(`${phase} failed (${type}): ${message}. Repair the cause, then resume`);
    return phase;
  }
}

/** Runs work that an abort, or a rollback of all nodes, cancels at any time. */
async function runInterruptible<T>(migration: Migration, work: () => Promise<T>): Promise<T> {
  const scope = new CancellationScope();
  const listener = (): void => {
    if (migration.isInterrupted) scope.cancel();
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
  if (error instanceof ApplicationFailure && decisions.includes(error.type ?? '')) return false;
  return !unchangedPhases.includes(status.phase);
}

/**
 * Acts on an abort or a rollback of all nodes, once the phase has ended.
 * @throws ApplicationFailure Aborted
 */
function interrupt({ state, status }: Migration): Phase {
  const { aborted, rollbackAll } = state.decisions;
  delete status.paused;
  if (rollbackAll !== undefined) {
    state.doneSteps.length = 0;
    return 'rolling-back';
  }
  throw ApplicationFailure.nonRetryable(
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
