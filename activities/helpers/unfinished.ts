import { formatRecord, parseRecord, type UnfinishedRecord } from '../../model/remaining-nodes.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { unfinishedAnnotation } from '../kubernetes/names.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { patchNamespaceAnnotations, readOwnNamespace } from '../kubernetes/own-namespace.ts';
import { applyNamespace } from './namespace.ts';

/** Creates the activity that records the nodes without which a run ends. */
export function createUnfinishedActivities(onCluster: OnCluster) {
  return {
    /**
     * Records the nodes without which a run may end, in an annotation of our namespace, which stays as long as there is one.
     * A later run, also under another workflow ID or on another Temporal server, finishes them. Without such a node, removes
     * the record.
     */
    recordUnfinished: onCluster(
      'record the remaining nodes',
      async (connection, { record }: { cluster: string; record: UnfinishedRecord }): Promise<void> => {
        const isEmpty = !record.nodes.some(({ skipped }) => skipped !== undefined);
        if (!isEmpty) await applyNamespace(connection);
        await patchNamespaceAnnotations(connection, { [unfinishedAnnotation]: isEmpty ? null : formatRecord(record) });
      }
    ),
  };
}

/**
 * Returns the record of the nodes without which a run has ended; undefined without one. Of a record that cannot be read, it
 * returns one that lets everything be done again.
 */
export async function readUnfinished(connection: ClusterConnection): Promise<UnfinishedRecord | undefined> {
  const text = (await readOwnNamespace(connection))?.metadata?.annotations?.[unfinishedAnnotation];
  return text === undefined ? undefined : parseRecord(text);
}
