/** Which plan a message of an operator is about. Pure. */
import type { Decision } from './decision.ts';
import type { MessageContext } from './message-context.ts';
import { shortDigest } from './plan-digest.ts';

/** How a message names the plan: as the pending one, or by the first digits of its digest. */
type PlanName = true | string | undefined;

/** Returns the reason why a message is not about the pending plan; undefined when it is, or is about no plan. */
export function planRefusal(
  named: PlanName,
  { status: { planDigest }, requiresPlanDigest = false }: Pick<MessageContext, 'status' | 'requiresPlanDigest'>
): string | undefined {
  if (named === undefined) return undefined;
  if (named === true) {
    if (!requiresPlanDigest) return undefined;
    const pending = planDigest ?? 'which is not computed yet';
    return (
      'the worker requires the digest of the plan (policy.requirePlanDigest in its file): read the plan, then send its ' +
      `digest as "plan": ${pending}`
    );
  }
  if (planDigest === undefined) return 'the plan has no digest yet; send the message again when the status shows it';
  if (planDigest.startsWith(named)) return undefined;
  return `the pending plan is ${shortDigest(planDigest)}…, and not ${shortDigest(named)}…: read it again, and name its digest`;
}

/** Returns a decision with the digest of the plan that is pending, and whether the message named it. */
export function withPlan(decision: Decision, named: PlanName, planDigest: string | undefined): Decision {
  if (named === undefined || planDigest === undefined) return decision;
  return { ...decision, planDigest, ...(named !== true && { namesPlan: true as const }) };
}

/** Returns which plan was approved, as a text for people; undefined for a decision that is about no plan with a digest. */
export function approvedPlanText({ planDigest, namesPlan }: Decision): string | undefined {
  if (planDigest === undefined) return undefined;
  return namesPlan === true ? shortDigest(planDigest) : `${shortDigest(planDigest)}, pending and not named`;
}
