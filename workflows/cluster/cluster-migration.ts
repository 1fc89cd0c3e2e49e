import { condition, allHandlersFinished } from '@temporalio/workflow';
import { withApiVersion, type Versioned } from '../../model/api-version.ts';
import type { MigrationReport, Phase } from '../../model/status.ts';
import { operatorFailure } from '../support/operator-failure.ts';
import { begin } from './begin.ts';
import type { ClusterContext } from './context.ts';
import { attempt, runUntilAborted } from './interruption.ts';
import { withLock } from './lock.ts';
import { cleanup } from './phases/cleanup.ts';
import { coexistence } from './phases/coexistence.ts';
import { cutover } from './phases/cutover.ts';
import { dryRun } from './phases/dry-run.ts';
import { migrate } from './phases/migrate.ts';
import { plan } from './phases/plan.ts';
import { preflight } from './phases/preflight.ts';
import { rollBackAll } from './phases/rollback.ts';
import { buildReport } from './report.ts';

/**
 * Migrates a cluster from Canal to Cilium.
 *
 * preflight → plan → coexistence (Cilium next to Canal, owning no pod) → migrate (wave by wave, each node its own child
 * workflow) → cutover (Cilium sole owner) → cleanup (Canal removed: the point of no return). Progress is read from
 * the cluster, so a run that follows a failed, aborted, cancelled or terminated one continues from there.
 *
 * @param request a MigrationRequest; validated before anything else.
 * @param carried state of the previous run after continue-as-new; refused otherwise.
 * @throws ApplicationFailure of one of the types in model/failure-types.ts.
 */
export async function clusterMigration(request: unknown, carried?: unknown): Promise<Versioned<MigrationReport>> {
  try {
    const report = await migrateCluster(request, carried);
    await condition(allHandlersFinished);
    return withApiVersion(report);
  } catch (error) {
    throw operatorFailure(error);
  }
}

/** The main loop: one step of the current phase after the other, until the migration has ended. */
async function migrateCluster(request: unknown, carried: unknown): Promise<MigrationReport> {
  const context = await begin(request, carried);
  const { migration } = context;
  if (migration.isNothingLeft) return endUnchanged(context);
  return withLock(migration, async () => {
    if (migration.input.dryRun) return runUntilAborted(migration, () => dryRun(context));
    for (;;) {
      const next = await attempt(context, runPhase);
      if (next === 'done' || next === 'rolled-back') return end(context, next, true);
      migration.enter(next);
      if (migration.isLong) await migration.continueAsNew();
    }
  });
}

/** Runs the current phase, or one step of it. Returns the next phase, which may be the same. */
function runPhase(context: ClusterContext): Promise<Phase> {
  const { phase } = context.migration.status;
  switch (phase) {
    case 'preflight':
      return preflight(context);
    case 'plan':
      return plan(context);
    case 'coexistence':
      return coexistence(context);
    case 'migrate':
      return migrate(context);
    case 'cutover':
      return cutover(context);
    case 'cleanup':
      return cleanup(context);
    case 'rolling-back':
      return rollBackAll(context);
    case 'done':
    case 'rolled-back':
      return Promise.resolve(phase);
  }
}

function end({ migration }: ClusterContext, phase: 'done' | 'rolled-back', changed: boolean): MigrationReport {
  migration.enter(phase);
  return buildReport(migration.state, changed);
}

/** Ends a run that has found nothing to do. Its fleet learns of it, as of every end. */
async function endUnchanged(context: ClusterContext): Promise<MigrationReport> {
  const report = end(context, 'done', false);
  await context.migration.board.end();
  return report;
}
