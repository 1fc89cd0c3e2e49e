import type { MigrationInput } from '../../model/input.ts';
import { resolveRequest, type ResolvedRequest } from '../../model/resolved-request.ts';
import { noPolicy, policyProblems, type PolicyOf } from '../../model/cluster-policy.ts';
import { gateHostsOf, requireGateHosts } from '../probe/gates/gate-address.ts';
import { failure } from '../support/failures.ts';

/**
 * Creates the activity that resolves a request.
 * @param nodeIdSecret secret of the workers with encryption. @default none: IDs contain the names of nodes
 * @param policyOf policies of the worker's file. @default none
 */
export function createRequestActivities(nodeIdSecret?: string, policyOf: PolicyOf = noPolicy) {
  return {
    /**
     * Resolves a request: applies the defaults and computes the Helm values of this build. The recorded result is valid
     * for the whole migration, also when workers of other builds continue it.
     * @throws InvalidInput with one line per problem: of the input itself, or of what the policy of the cluster does not
     * allow.
     */
    resolveRequest: ({ request }: { request: unknown }): Promise<ResolvedRequest> =>
      // What the function throws rejects the promise.
      new Promise((resolve) => resolve(resolveForWorker(request, policyOf, nodeIdSecret))),
  };
}

/** @throws InvalidInput */
function resolveForWorker(request: unknown, policyOf: PolicyOf, nodeIdSecret: string | undefined): ResolvedRequest {
  const resolved = resolveRequest(request);
  if ('problems' in resolved)
    throw failure('InvalidInput', `the input is not a valid migration:\n${resolved.problems.join('\n')}`);
  const { input } = resolved;
  requirePolicy(policyOf, input);
  return {
    ...resolved,
    ...(nodeIdSecret !== undefined && { nodeIdSecret }),
    ...(policyOf(input.cluster).requirePlanDigest === true && { requiresPlanDigest: true as const }),
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
