/**
 * Approvals as objects of the migrated cluster: a `MigrationApproval` names the run, the step and the plan that it
 * approves, and the user who created it, as verified by the API server.
 */
import { z } from 'zod';

/**
 * What proves an approval. `signal`: the message that says it, from any sender. `authenticated`: a MigrationApproval
 * in the cluster; the message only wakes the migration.
 */
export const approvalModes = ['signal', 'authenticated'] as const;

/** One of {@link approvalModes}. */
export type ApprovalMode = (typeof approvalModes)[number];

/** API group of the approvals. `internal` is the top-level domain for private use: nobody can own the group's name. */
export const approvalGroup = 'cni-live-migration.internal';
export const approvalApiVersion = `${approvalGroup}/v1`;
export const approvalKind = 'MigrationApproval';
export const approvalResource = 'migrationapprovals';

/** ClusterRole of the users who may approve. */
export const approverRole = 'cni-migration-approver';

/** What an approval has to name so that it counts for a run. */
export interface ApprovalTarget {
  workflowId: string;
  /** Run ID of the first run, which stays the same across continue-as-new. */
  firstRunId: string;
  /** Digest of the plan; empty for a plan without one. */
  planDigest: string;
}

/** A step that needs an approval: `plan`, `cutover`, `cleanup`, or `node/` and the name of a node. */
export type ApprovedStep = 'plan' | 'cutover' | 'cleanup' | `node/${string}`;

/** Maximum length of a user's name, in characters. */
export const maxUserLength = 512;

/** Maximum number of nodes that one approval names. */
export const maxApprovedNodes = 1_000;

/** What an approval may be about: one step, or a wave, which also names its nodes. */
export const subjectPattern = '^(plan|cutover|cleanup|node/[a-z0-9.-]{1,253}|wave/[1-9][0-9]{0,4})$';

const specSchema = z.object({
  workflowId: z.string(),
  firstRunId: z.string(),
  planDigest: z.string().default(''),
  subject: z.string(),
  /** Of a wave: the names of its nodes. */
  nodes: z.array(z.string()).optional(),
  /** User who created it. */
  user: z.string().min(1).max(maxUserLength),
  reason: z.string().optional(),
  /** Time after which it no longer counts (ISO 8601). */
  notAfter: z.string().optional(),
});

/** Specification of a MigrationApproval. */
export type ApprovalSpec = z.output<typeof specSchema>;

/** A MigrationApproval as the API server stores it. */
export interface StoredApproval {
  name: string;
  /** Time of its creation (ISO 8601), in whole seconds. */
  createdAt: string;
  spec: ApprovalSpec;
}

const objectSchema = z.object({
  metadata: z.object({
    name: z.string(),
    creationTimestamp: z.union([z.date().transform((time) => time.toISOString()), z.string()]),
  }),
  spec: specSchema,
});

/** Parses an object of the API server; returns undefined for one that is not a complete approval. */
export function parseApproval(object: unknown): StoredApproval | undefined {
  const parsed = objectSchema.safeParse(object);
  if (!parsed.success) return undefined;
  const { metadata, spec } = parsed.data;
  return { name: metadata.name, createdAt: metadata.creationTimestamp, spec };
}

/** Subject of the message `approve`. */
interface MessageSubject {
  node?: string | undefined;
  wave?: number | undefined;
  plan?: unknown;
  cutover?: unknown;
}

/** Returns the subject of the approval that the message `approve` claims. */
export function approvalSubject({ node, wave, plan, cutover }: MessageSubject): string {
  if (node !== undefined) return `node/${node}`;
  if (wave !== undefined) return `wave/${wave}`;
  if (plan !== undefined) return 'plan';
  return cutover === undefined ? 'cleanup' : 'cutover';
}

/** Returns a subject as people read it. */
export function subjectText(subject: string): string {
  const [kind = '', name] = subject.split('/');
  return name === undefined ? `the ${kind}` : `${kind} ${name}`;
}

/** Conditions under which an approval counts. */
export interface ApprovalRules {
  run: Pick<ApprovalTarget, 'workflowId' | 'firstRunId'>;
  /** Digest of the plan that it has to name. */
  planDigest: string;
  nowMs: number;
  /** Time since when the API server verifies the user of every approval (Unix ms, in whole seconds). */
  verifiedSinceMs: number;
}

/** Returns true when the approval is about the step, of any run and plan. */
function isAbout({ subject, nodes = [] }: ApprovalSpec, step: ApprovedStep): boolean {
  if (subject === step) return true;
  return subject.startsWith('wave/') && step.startsWith('node/') && nodes.includes(step.slice('node/'.length));
}

/** Returns the reason why an approval does not count; undefined when it does. */
function refusalReason({ createdAt, spec }: StoredApproval, rules: ApprovalRules): string | undefined {
  const { run, planDigest, nowMs, verifiedSinceMs } = rules;
  if (spec.workflowId !== run.workflowId) return 'it names another workflow';
  if (spec.firstRunId !== run.firstRunId) return 'it names another run';
  if (spec.planDigest !== planDigest) return 'it names another plan';
  // In the second in which the policy was created, it may not have been in force yet.
  if (!(Date.parse(createdAt) > verifiedSinceMs)) return 'it is not younger than the policy that verifies its user';
  if (spec.notAfter !== undefined && !(nowMs <= Date.parse(spec.notAfter))) return `it ended at ${spec.notAfter}`;
  return undefined;
}

/** Maximum number of approvals that do not count which a problem names. */
const maxNamed = 3;

/**
 * Finds an approval of a step: the newest one that counts.
 * @returns the approval; or the reasons why approvals of that step do not count, the newest first.
 */
export function findApproval(
  approvals: readonly StoredApproval[],
  step: ApprovedStep,
  rules: ApprovalRules
): StoredApproval | { reasons: string[] } {
  const candidates = newestFirst(approvals.filter(({ spec }) => isAbout(spec, step)));
  const evaluated = candidates.map((approval) => ({ approval, reason: refusalReason(approval, rules) }));
  const valid = evaluated.find(({ reason }) => reason === undefined);
  if (valid !== undefined) return valid.approval;
  return { reasons: evaluated.slice(0, maxNamed).map(({ approval, reason }) => `${approval.name}: ${reason}`) };
}

/**
 * Returns the digest that approvals of a run's steps have to name: that of the newest approval of its plan that counts.
 * @returns the empty digest for a run without one, which has continued an earlier run after its plan.
 */
export function findApprovedDigest(
  approvals: readonly StoredApproval[],
  rules: Omit<ApprovalRules, 'planDigest'>
): string {
  const ofPlan = newestFirst(approvals.filter(({ spec }) => spec.subject === 'plan'));
  const newest = ofPlan.find((approval) => {
    const { planDigest } = approval.spec;
    return refusalReason(approval, { ...rules, planDigest }) === undefined;
  });
  return newest?.spec.planDigest ?? '';
}

function newestFirst(approvals: readonly StoredApproval[]): StoredApproval[] {
  return [...approvals].sort((a, b) => Date.parse(b.createdAt) - Date.parse(a.createdAt));
}

/** A MigrationApproval to create. */
export interface ApprovalObject {
  apiVersion: string;
  kind: string;
  metadata: { generateName: string };
  spec: ApprovalSpec;
}

/** Builds a MigrationApproval. The API server completes its name. */
export function buildApproval(spec: ApprovalSpec): ApprovalObject {
  return { apiVersion: approvalApiVersion, kind: approvalKind, metadata: { generateName: 'approval-' }, spec };
}

/** Returns the digest of the plan that a status shows; empty for a plan without one. */
export function readPlanDigest(status: object): string {
  const { planDigest } = status as { planDigest?: string };
  return planDigest ?? '';
}
