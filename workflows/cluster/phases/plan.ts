import { isMigrated } from '../../../model/nodes.ts';
import { buildPlan, type Plan } from '../../../model/plan.ts';
import type { Phase } from '../../../model/status.ts';
import { waitForApproval } from '../approvals.ts';
import { findLongSteps } from '../windows.ts';
import type { ClusterContext } from '../context.ts';
import type { Migration } from '../migration.ts';

/** Computes the plan, again after each read of the cluster, until it is approved. The approved plan stays as it is. */
export async function plan(context: ClusterContext): Promise<Phase> {
  const { migration } = context;
  if (!isApproved(migration)) await makePlan(context);
  if (migration.input.approval !== 'none') await waitForApproval(migration, 'plan');
  return isApproved(migration) ? 'coexistence' : 'plan';
}

function isApproved({ status, state, input }: Migration): boolean {
  if (status.paused !== undefined) return false;
  return status.approvals.plan !== undefined || (input.approval === 'none' && state.plan !== undefined);
}

/** Computes the plan from the nodes as they are now. */
export async function makePlan({ migration, nodes }: ClusterContext): Promise<Plan> {
  const { state, input, releases } = migration;
  if (state.source === undefined) throw new Error('a plan needs Canal');
  const facts = await nodes.refresh();
  const names = facts.filter((node) => !isMigrated(node)).map(({ name }) => name);
  const details = await migration.run('planDetails', 'compute plan', { input, nodes: names });
  const previous = state.plan;
  state.plan = buildPlan(state.source, facts, input, releases.coexistence.values, details, state.preflight ?? []);
  const longSteps = await findLongSteps(migration, facts);
  if (longSteps.length > 0) state.plan.longerThanWindows = longSteps;
  if (previous !== undefined && subjectOf(previous) !== subjectOf(state.plan)) withdrawApproval(migration);
  migration.publish();
  return state.plan;
}

/** Returns what an approval of the plan is about. */
function subjectOf({ waves, source, changes, objects }: Plan): string {
  return JSON.stringify([waves, source, changes, objects]);
}

/** Withdraws an approval that was given while the plan was computed again: it was about the plan before. */
function withdrawApproval(migration: Migration): void {
  const { approvals } = migration.status;
  if (approvals.plan === undefined) return;
  delete approvals.plan;
  migration.note(
    'the approval of the plan was withdrawn: the nodes or the configuration have changed; approve it again'
  );
}
