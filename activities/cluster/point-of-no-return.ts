import type { Decision } from '../../model/decision.ts';
import { requireApproval } from '../kubernetes/approvals.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { noReturnAnnotation } from '../kubernetes/names.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { readDecision, recordDecision } from './decision-records.ts';

/** Creates the activity that records the point of no return in the cluster. */
export function createNoReturnActivities(onCluster: OnCluster) {
  return {
    /**
     * Records that the removal of Canal begins. Runs after this one, also under another workflow ID or on another
     * Temporal server, read it and roll nothing back. The first record stays.
     * @throws ApprovalMissing, ApprovalsUnverifiable when the cleanup is not approved as configured.
     */
    recordPointOfNoReturn: onCluster(
      'record the point of no return',
      async (connection, { approval }: { cluster: string; approval: Decision }): Promise<void> => {
        await requireApproval(connection, 'cleanup');
        await recordDecision(connection, noReturnAnnotation, approval);
      }
    ),
  };
}

/**
 * Returns the approval with which the removal of Canal began; undefined before it. A record that cannot be read still
 * counts: it is safer to continue a removal than to roll back to half of Canal.
 */
export function readPointOfNoReturn(connection: ClusterConnection): Promise<Decision | undefined> {
  return readDecision(connection, noReturnAnnotation);
}
