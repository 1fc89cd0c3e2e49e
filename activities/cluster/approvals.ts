import type { ApprovedStep } from '../../model/migration-approval.ts';
import { oneLine } from '../../model/printable.ts';
import { isUnverifiable, searchApprovals } from '../kubernetes/approvals.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';

/** Input of `findApprovals`. */
export interface ApprovalQuestion {
  cluster: string;
  steps: ApprovedStep[];
  /** Digest of the plan that the approvals have to name; empty for a plan without one. */
  planDigest: string;
}

/** An approval whose user the API server has authenticated. */
export interface FoundApproval {
  step: ApprovedStep;
  /** The user. */
  principal: string;
  /** Name of the MigrationApproval. */
  object: string;
}

/** Creates the activity that reads approvals. */
export function createApprovalActivities(onCluster: OnCluster) {
  return {
    /**
     * Finds the MigrationApprovals of steps, for the run that holds the cluster's lock. Changes nothing.
     * @returns what was found, and a text about what was not: a missing approval is no failure, because it may come later.
     */
    findApprovals: onCluster(
      'find the approvals',
      async (
        connection,
        { steps, planDigest }: ApprovalQuestion
      ): Promise<{ approvals: FoundApproval[]; problem?: string }> => {
        try {
          const { found, problem } = await searchApprovals(connection, steps, planDigest);
          const approvals = [...found].map(([step, { name, spec }]) => {
            return { step, principal: oneLine(spec.user), object: name };
          });
          return { approvals, ...(problem !== undefined && { problem }) };
        } catch (error) {
          if (isUnverifiable(error)) return { approvals: [], problem: error.message };
          throw error;
        }
      }
    ),
  };
}
