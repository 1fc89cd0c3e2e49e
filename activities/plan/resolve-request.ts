import type { MigrationInput } from '../../model/input.ts';
import type { ApprovalMode } from '../../model/migration-approval.ts';
import { resolveRequest, type ResolvedRequest } from '../../model/resolved-request.ts';
import { failure } from '../support/failures.ts';

/**
 * Creates the activity that resolves a request.
 * @param nodeIdSecret secret of the workers with encryption. @default none: IDs contain the names of nodes
 * @param approvalMode returns what proves an approval in a cluster. @default signal
 */
export function createRequestActivities(
  nodeIdSecret?: string,
  approvalMode: (cluster: string) => ApprovalMode = () => 'signal'
) {
  return {
    /**
     * Resolves a request: applies the defaults and computes the Helm values of this build. The recorded result is valid
     * for the whole migration, also when workers of other builds continue it.
     * @throws InvalidInput with one line per problem.
     */
    resolveRequest: ({ request }: { request: unknown }): Promise<ResolvedRequest> => {
      const resolved = resolveRequest(request);
      if ('problems' in resolved) return Promise.reject(invalidRequest(resolved.problems));
      const approvals = approvalMode(resolved.input.cluster);
      const unapproved = approvals === 'authenticated' ? findUnapproved(resolved.input) : [];
      if (unapproved.length > 0) return Promise.reject(invalidRequest(unapproved));
      return Promise.resolve({
        ...resolved,
        ...(nodeIdSecret !== undefined && { nodeIdSecret }),
        ...(approvals === 'authenticated' && { approvals }),
      });
    },
  };
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
