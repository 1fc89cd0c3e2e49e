import { decidedBy, type Decision } from '../../model/decision.ts';
import { withPlan } from '../../model/plan-approval.ts';
import type { MigrationStatus } from '../../model/status.ts';
import type { Wait } from '../../model/wait.ts';
import { hasClaim, takeApprovals, type ClaimableStep } from './authenticated-approvals.ts';
import type { Migration } from './migration.ts';

/** Steps that a single approval covers. */
type Subject = keyof MigrationStatus['approvals'];

const subjects: Readonly<Record<Subject, string>> = {
  plan: 'the plan (query "plan")',
  cutover: 'the cutover, which makes Cilium the owner of CNI and policies',
  cleanup: 'the cleanup, which removes Canal: the point of no return',
};

/**
 * Waits for the approval of the plan, of the cutover or of the cleanup. A rejection cancels the phase.
 * @returns true when it is approved; false when the caller must look again first.
 */
export async function waitForApproval(migration: Migration, subject: Subject): Promise<boolean> {
  const { status, input } = migration;
  const isApproved = (): boolean => status.approvals[subject] !== undefined;
  if (isApproved()) return true;
  const id = { kind: 'approval' as const, key: subject };
  const deadlineMs = migration.waits.deadlineMs(id, input.approvalDeadlineSeconds);
  const wait: Wait = { ...id, subject: subjects[subject], answers: findAnswers(migration, subject), deadlineMs };
  const claimable: ClaimableStep = {
    step: subject,
    subjects: [subject],
    // An approval of the plan in the cluster names its digest.
    accept: (approval) =>
      (status.approvals[subject] =
        subject === 'plan' ? withPlan(approval, status.planDigest, status.planDigest) : approval),
  };
  const isOver = (): boolean => isApproved() || status.paused !== undefined;
  for (;;) {
    const end = await migration.until(
      () => wait,
      () => isOver() || hasClaim(migration, [claimable])
    );
    if (end === 'deadline')
      migration.pauseFor(`no approval of ${wait.subject} within ${input.approvalDeadlineSeconds} s`);
    if (end !== 'happened' || isOver()) return false;
    // A claim without an approval in the cluster does not end the wait.
    await takeApprovals(migration, [claimable]);
    migration.waits.continueLast();
  }
}

function findAnswers(migration: Migration, subject: Subject): Wait['answers'] {
  const { planDigest } = migration.status;
  // Who copies the command approves the plan that was shown next to it.
  const named = subject === 'plan' ? (planDigest ?? true) : true;
  const answers = [
    { does: `approve the ${subject}`, message: 'approve', input: { [subject]: named } },
    { does: `reject the ${subject} and end the migration`, message: 'reject', input: { [subject]: true } },
  ];
  const rollback = migration.interruptions.filter(({ message }) => message === 'rollback');
  return [...answers, ...rollback];
}

/** Returns who decided, and why. */
export function attribution(decision: Decision): string {
  const { reason } = decision;
  return reason === '' ? decidedBy(decision) : `${decidedBy(decision)} (${reason})`;
}
