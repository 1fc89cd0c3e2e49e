import type { MigrationInput } from '../../model/input.ts';
import type { ApprovalMode } from '../../model/migration-approval.ts';
import { resolveRequest, type ResolvedRequest } from '../../model/resolved-request.ts';
import { noPolicy, policyProblems, type PolicyOf } from '../../model/cluster-policy.ts';
import { gateHostsOf, requireGateHosts } from '../probe/gates/gate-address.ts';
import { failure } from '../support/failures.ts';

/**
 * Creates the activity that resolves a request.
 * @param nodeIdSecret secret of the workers with encryption. @default none: IDs contain the names of nodes
 * @param policyOf policies of the worker's file. @default none
 * @param approvalMode returns what proves an approval in a cluster. @default signal
 */
export function createRequestActivities(
  nodeIdSecret?: string,
  policyOf: PolicyOf = noPolicy,
  approvalMode: (cluster: string) => ApprovalMode = () => 'signal'
) {
  return {
    /**
     * Resolves a request: applies the defaults and computes the Helm values of this build. The recorded result is valid
     * for the whole migration, also when workers of other builds continue it.
     * @throws InvalidInput with one line per problem: of the input itself, or of what the policy of the cluster does not
     * allow.
     */
    resolveRequest: ({ request }: { request: unknown }): Promise<ResolvedRequest> =>
      // What the function throws rejects the promise.
      new Promise((resolve) => resolve(resolveForWorker(request, { nodeIdSecret, policyOf, approvalMode }))),
  };
}

/** What a worker adds to a request. */
interface WorkerSettings {
  nodeIdSecret: string | undefined;
  policyOf: PolicyOf;
  approvalMode: (cluster: string) => ApprovalMode;
}

/** @throws InvalidInput */
function resolveForWorker(request: unknown, { nodeIdSecret, policyOf, approvalMode }: WorkerSettings): ResolvedRequest {
  const resolved = resolveRequest(request);
  if ('problems' in resolved) throw invalidRequest(resolved.problems);
  const { input } = resolved;
  requirePolicy(policyOf, input);
  const approvals = approvalMode(input.cluster);
  const unapproved = approvals === 'authenticated' ? findUnapproved(input) : [];
  if (unapproved.length > 0) throw invalidRequest(unapproved);
  return {
    ...resolved,
    ...(nodeIdSecret !== undefined && { nodeIdSecret }),
    ...(policyOf(input.cluster).requirePlanDigest === true && { requiresPlanDigest: true as const }),
    ...(approvals === 'authenticated' && { approvals }),
  };
}

/**
 * Checks an input against the policy of its cluster.
 * @throws InvalidInput with one line per problem.
 */
export function requirePolicy(policyOf: PolicyOf, input: MigrationInput): void {
  const problems = policyProblems(policyOf(input.cluster), input);
  if (problems.length > 0)
    throw failure('InvalidInput', `the worker's file does not allow this migration:\n${problems.join('\n')}`);
  requireGateHosts(input.gates, gateHostsOf(policyOf, input.cluster));
}

function invalidRequest(problems: readonly string[]): Error {
  return failure('InvalidInput', `the input is not a valid migration:\n${problems.join('\n')}`);
}

/** Returns a problem for each setting with which a step of a migration would need no approval. */
function findUnapproved({ approval, cleanup, dryRun }: MigrationInput): string[] {
  if (dryRun) return [];
  const policy = 'because the worker\'s file says "approvals: authenticated" for this cluster';
  return [
    ...(approval === 'none' || approval === 'canary-only'
      ? [`approval: must be every-node or every-wave, ${policy}`]
      : []),
    ...(cleanup === 'automatic' ? [`cleanup: must be approve, ${policy}`] : []),
  ];
}
