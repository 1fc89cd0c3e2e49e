import { ApplicationFailure } from '@temporalio/common';
import {
  approvalApiVersion,
  approvalKind,
  approverRole,
  findApproval,
  findApprovedDigest,
  parseApproval,
  subjectText,
  type ApprovalRules,
  type ApprovalTarget,
  type ApprovedStep,
  type StoredApproval,
} from '../../model/migration-approval.ts';
import { summarizeList } from '../../model/summarize.ts';
import { failure } from '../support/failures.ts';
import { requireApprovalPolicy } from './approval-policy.ts';
import { listKnown } from './apply.ts';
import type { ClusterConnection } from './connection.ts';
import { ifFound } from './errors.ts';
import { ciliumNamespace as namespace, helperNamespace, isOurs, lockName, rollbackBegunAnnotation } from './names.ts';

/** Maximum number of steps that a problem names. */
const maxNamed = 5;

/** Approvals that were found, by step, and why others were not. */
export interface ApprovalSearch {
  found: ReadonlyMap<ApprovedStep, StoredApproval>;
  /** Text of what is missing, and what to do. Undefined when every step is approved. */
  problem?: string;
}

/**
 * Searches the cluster for approvals of steps by the run that holds its lock.
 * @param planDigest digest that they have to name. @default that of the approved plan
 * @throws ApprovalsUnverifiable when the API server does not verify who creates approvals.
 */
export async function searchApprovals(
  connection: ClusterConnection,
  steps: readonly ApprovedStep[],
  planDigest?: string
): Promise<ApprovalSearch> {
  const verifiedSinceMs = await requireApprovalPolicy(connection);
  const run = await readLockHolder(connection);
  if (run === undefined) return { found: new Map(), problem: `no migration holds the Lease ${namespace}/${lockName}` };
  const approvals = await listApprovals(connection);
  const common = { run, nowMs: Date.now(), verifiedSinceMs };
  const rules: ApprovalRules = { ...common, planDigest: planDigest ?? findApprovedDigest(approvals, common) };
  const found = new Map<ApprovedStep, StoredApproval>();
  const missing: string[] = [];
  const reasons: string[] = [];
  for (const step of steps) {
    const result = findApproval(approvals, step, rules);
    if ('spec' in result) found.set(step, result);
    else {
      missing.push(subjectText(step));
      reasons.push(...result.reasons);
    }
  }
  return missing.length === 0 ? { found } : { found, problem: describeMissing(missing, reasons, rules) };
}

function describeMissing(missing: readonly string[], reasons: readonly string[], { run, planDigest }: ApprovalRules) {
  const uncounted = [...new Set(reasons)];
  const others = uncounted.length === 0 ? '' : ` These do not count: ${summarizeList(uncounted, maxNamed)}.`;
  const plan = planDigest === '' ? '' : `, plan digest ${planDigest}`;
  return (
    `no ${approvalKind} in the cluster approves ${summarizeList(missing, maxNamed)} for the workflow ${run.workflowId} ` +
    `(first run ${run.firstRunId}${plan}).${others} Create it with "cni-migrate approve", or with kubectl as the status ` +
    `shows, as a user with the ClusterRole ${approverRole}`
  );
}

/**
 * Checks, where the worker's configuration requires it, that an authenticated user has approved the step, for the run that
 * holds the cluster's lock and for the plan that is approved.
 * @throws ApprovalMissing naming the step.
 * @throws ApprovalsUnverifiable when the API server does not verify who creates approvals.
 */
export async function requireApproval(connection: ClusterConnection, step: ApprovedStep): Promise<void> {
  if (connection.approvals !== 'authenticated') return;
  const { problem } = await searchApprovals(connection, [step]);
  if (problem !== undefined) throw failure('ApprovalMissing', `${problem}. Then resume, or retry the node`);
}

/** Returns true for a failure that says that the approvals of the cluster prove nothing. */
export function isUnverifiable(error: unknown): error is ApplicationFailure {
  return error instanceof ApplicationFailure && error.type === 'ApprovalsUnverifiable';
}

/** Returns true while a rollback of all nodes is recorded, which needs no approval of the plan. */
export async function isRollingBack({ core }: ClusterConnection): Promise<boolean> {
  const owner = await ifFound(core.readNamespace({ name: helperNamespace }));
  return isOurs(owner) && owner?.metadata?.annotations?.[rollbackBegunAnnotation] !== undefined;
}

async function listApprovals(connection: ClusterConnection): Promise<StoredApproval[]> {
  const objects = await listKnown(connection, approvalApiVersion, approvalKind);
  return objects.flatMap((object) => parseApproval(object) ?? []);
}

/** Returns the run that holds the cluster's lock; undefined without one. */
async function readLockHolder({
  coordination,
}: ClusterConnection): Promise<Pick<ApprovalTarget, 'workflowId' | 'firstRunId'> | undefined> {
  const lease = await ifFound(coordination.readNamespacedLease({ name: lockName, namespace }));
  const identity = lease?.spec?.holderIdentity ?? '';
  const space = identity.lastIndexOf(' ');
  return space < 1 ? undefined : { workflowId: identity.slice(0, space), firstRunId: identity.slice(space + 1) };
}
