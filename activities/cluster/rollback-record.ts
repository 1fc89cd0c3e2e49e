import type { Decision } from '../../model/decision.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { rollbackBegunAnnotation } from '../kubernetes/names.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { readDecision, recordDecision, removeDecision } from './decision-records.ts';

/** Creates the activities on the record of a rollback of all nodes that has begun. */
export function createRollbackRecordActivities(onCluster: OnCluster) {
  return {
    /**
     * Records that a rollback of all nodes begins. A later run, also under another workflow ID or on another Temporal
     * server, asks an operator about it. The first record stays.
     */
    recordRollback: onCluster(
      'record the start of a rollback',
      (connection, { rollback }: { cluster: string; rollback: Decision }): Promise<void> =>
        recordDecision(connection, rollbackBegunAnnotation, rollback)
    ),

    /** Removes that record, because an operator has decided to migrate the cluster again. */
    removeRollbackRecord: onCluster('remove the record of a rollback', (connection): Promise<void> =>
      removeDecision(connection, rollbackBegunAnnotation)
    ),
  };
}

/** Returns the request of a rollback of all nodes that is not complete; undefined without one. */
export function readUnfinishedRollback(connection: ClusterConnection): Promise<Decision | undefined> {
  return readDecision(connection, rollbackBegunAnnotation);
}
