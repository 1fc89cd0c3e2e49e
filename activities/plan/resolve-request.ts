import { resolveRequest, type ResolvedRequest } from '../../model/resolved-request.ts';
import { failure } from '../support/failures.ts';

/**
 * Creates the activity that resolves a request.
 * @param nodeIdSecret secret of the workers with encryption. @default none: IDs contain the names of nodes
 */
export function createRequestActivities(nodeIdSecret?: string) {
  return {
    /**
     * Resolves a request: applies the defaults and computes the Helm values of this build. The recorded result is valid
     * for the whole migration, also when workers of other builds continue it.
     * @throws InvalidInput with one line per problem.
     */
    resolveRequest: ({ request }: { request: unknown }): Promise<ResolvedRequest> => {
      const resolved = resolveRequest(request);
      if (!('problems' in resolved))
        return Promise.resolve({ ...resolved, ...(nodeIdSecret !== undefined && { nodeIdSecret }) });
      const problems = resolved.problems.join('\n');
      return Promise.reject(failure('InvalidInput', `the input is not a valid migration:\n${problems}`));
    },
  };
}
