import { TemporalFailure, isCancellation } from '@temporalio/workflow';
import type { DryRunStep } from '../../../model/dry-run.ts';
import type { MigrationReport } from '../../../model/status.ts';
import { dryRunView, planView } from '../../../model/status-view.ts';
import { operatorFailure } from '../../support/operator-failure.ts';
import type { ClusterContext } from '../context.ts';
import type { Migration } from '../migration.ts';
import { buildReport } from '../report.ts';
import { makePlan } from './plan.ts';
import { requireChecks } from './preflight.ts';

/**
 * Executes a dry run: the API server validates every remaining step with `dryRun`, and nothing is changed. Waits for no
 * approval.
 */
export async function dryRun(context: ClusterContext): Promise<MigrationReport> {
  const { migration } = context;
  const { state, status } = migration;
  const isBeforeCutover = state.source !== undefined && !state.ciliumOwnsCni && status.pointOfNoReturn === undefined;
  const dryRunSteps: DryRunStep[] = [];
  if (isBeforeCutover) {
    await requireChecks(migration);
    migration.enter('plan');
    const { waves } = await makePlan(context);
    const names = waves.flatMap(({ nodes }) => nodes);
    dryRunSteps.push(...(await dryRunUntilCutover(migration, names)));
  }
  migration.enter('cleanup');
  dryRunSteps.push(await migration.run('dryRunCleanup', 'dry run: cleanup', { cluster: migration.cluster }));
  migration.enter('done');
  return {
    ...buildReport(state, false),
    ...(state.plan && { plan: planView(state.plan) }),
    ...dryRunView(dryRunSteps),
  };
}

async function dryRunUntilCutover(migration: Migration, nodes: readonly string[]): Promise<DryRunStep[]> {
  const { run, input, releases } = migration;
  const steps: DryRunStep[] = [];
  const dryRunRelease = async (step: 'coexistence' | 'cutover'): Promise<void> => {
    migration.enter(step);
    const problems: string[] = [];
    try {
      await run('dryRunRelease', `dry run: ${step}`, { input, values: releases[step].values });
    } catch (error) {
      problems.push(problemOf(error));
    }
    steps.push({ step, would: ["apply Cilium's release"], problems });
  };
  await dryRunRelease('coexistence');
  migration.enter('migrate');
  for (const node of nodes) {
    const failed = (error: unknown): DryRunStep => ({
      step: `migrate ${node}`,
      would: [],
      problems: [problemOf(error)],
    });
    steps.push(await run('dryRunNode', `dry run: ${node}`, { input, node }).catch(failed));
  }
  await dryRunRelease('cutover');
  return steps;
}

/** @throws the error itself when it is not a failure of the step. */
function problemOf(error: unknown): string {
  if (!(error instanceof TemporalFailure) || isCancellation(error)) throw error;
  const failure = operatorFailure(error);
  return failure instanceof Error ? failure.message : String(failure);
}
