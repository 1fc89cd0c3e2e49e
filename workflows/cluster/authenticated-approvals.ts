/**
 * Approvals that are objects of the cluster. A message only claims one: the approval counts when an activity has found it,
 * and each step that needs it looks for it again before it changes anything.
 */
import { workflowInfo } from '@temporalio/workflow';
import { claimUnverified } from '../../model/approval-claims.ts';
import type { Decision } from '../../model/decision.ts';
import { readPlanDigest, type ApprovedStep } from '../../model/migration-approval.ts';
import { summarizeList } from '../../model/summarize.ts';
import type { Migration } from './migration.ts';

/** Begins a run whose approvals are objects of the cluster: shows what they have to name. Other runs are unchanged. */
export function beginAuthenticated({ state, status, input }: Migration): void {
  if (state.request?.approvals !== 'authenticated' || input.dryRun) return;
  const { workflowId, firstExecutionRunId: firstRunId } = workflowInfo();
  status.approvalTarget = { workflowId, firstRunId };
  claimUnverified(state.decisions);
}

/** A step whose approval may be claimed, by the subjects of the messages that claim it; the first one counts. */
export interface ClaimableStep {
  step: ApprovedStep;
  subjects: readonly string[];
  /** Records the approval. */
  accept: (approval: Decision) => void;
}

/** Returns true when a message has claimed the approval of a step, and it was not searched for since. */
export function hasClaim({ state }: Migration, steps: readonly Pick<ClaimableStep, 'subjects'>[]): boolean {
  const { claims } = state.decisions;
  return (
    claims !== undefined && steps.some(({ subjects }) => subjects.some((subject) => claims[subject] !== undefined))
  );
}

/**
 * Searches the cluster for the claimed approvals, and records those that it has. The others are noted, with what to do:
 * their message may be sent again.
 */
export async function takeApprovals(migration: Migration, steps: readonly ClaimableStep[]): Promise<void> {
  const { cluster, state, status } = migration;
  const claims = { ...state.decisions.claims };
  const claimed = steps.flatMap((candidate) => {
    const claim = candidate.subjects.map((subject) => claims[subject]).find((decision) => decision !== undefined);
    return claim === undefined ? [] : [{ ...candidate, claim }];
  });
  const { approvals, problem } = await migration.run('findApprovals', 'find approvals in the cluster', {
    cluster,
    steps: claimed.map(({ step }) => step),
    planDigest: readPlanDigest(status),
  });
  for (const { step, claim, accept } of claimed) {
    const found = approvals.find((approval) => approval.step === step);
    if (found !== undefined) accept({ ...claim, principal: found.principal, object: found.object });
  }
  // A message that came meanwhile is another claim, and stays.
  const current = state.decisions.claims ?? {};
  for (const subject of steps.flatMap(({ subjects }) => subjects))
    if (current[subject]?.at === claims[subject]?.at) delete current[subject];
  if (problem === undefined) return migration.publish();
  const senders = [...new Set(claimed.map(({ claim }) => claim.by))];
  migration.note(`an approval was noted, claimed by ${summarizeList(senders)}, and does not count yet: ${problem}`);
}
