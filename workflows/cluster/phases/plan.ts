import type { Decision } from '../../../model/decision.ts';
import { isMigrated } from '../../../model/nodes.ts';
import { buildPlan, type Plan } from '../../../model/plan.ts';
import { computePlanDigest } from '../../../model/plan-digest.ts';
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
  const { state, status, input, releases } = migration;
  if (state.source === undefined) throw new Error('a plan needs Canal');
  const facts = await nodes.refresh();
  const names = facts.filter((node) => !isMigrated(node)).map(({ name }) => name);
  const { coexistence, cutover, final } = releases;
  const values = { coexistence: coexistence.values, cutover: cutover.values, final: final.values };
  const details = await migration.run('planDetails', 'compute plan', { input, nodes: names, values });
  const previous = state.plan;
  state.plan = buildPlan(state.source, facts, input, coexistence.values, details, state.preflight ?? []);
  recordDigest(migration, state.plan);
  const longSteps = await findLongSteps(migration, facts);
  if (longSteps.length > 0) state.plan.longerThanWindows = longSteps;
  if (isAboutOther(status.approvals.plan, previous, state.plan)) withdrawApproval(migration);
  migration.publish();
  return state.plan;
}

/** Computes the digest of a plan, and shows it in the status. A result of an earlier build has none. */
function recordDigest({ status, input, releases }: Migration, computed: Plan): void {
  const digest = computePlanDigest(computed, input, releases);
  if (digest === undefined) {
    delete status.planDigest;
    return;
  }
  computed.digest = digest;
  status.planDigest = digest;
}

/** True for an approval of another plan than the one that was just computed. */
function isAboutOther(approval: Decision | undefined, previous: Plan | undefined, computed: Plan): boolean {
  if (approval?.planDigest !== undefined) return approval.planDigest !== computed.digest;
  return previous !== undefined && subjectOf(previous) !== subjectOf(computed);
}

/** Returns what an approval of the plan is about. */
function subjectOf({ digest, waves, source, changes, objects }: Plan): string {
  return digest ?? JSON.stringify([waves, source, changes, objects]);
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
