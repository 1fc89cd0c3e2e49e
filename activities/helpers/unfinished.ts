import { PatchStrategy, setHeaderOptions } from '@kubernetes/client-node';
import { formatRecord, parseRecord, type UnfinishedRecord } from '../../model/remaining-nodes.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import { fieldManager, helperNamespace as name, isOurs, unfinishedAnnotation } from '../kubernetes/names.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { applyNamespace, ownsNamespace } from './namespace.ts';

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
        if (isEmpty && !(await ownsNamespace(connection))) return;
        if (!isEmpty) await applyNamespace(connection);
        const annotations = { [unfinishedAnnotation]: isEmpty ? null : formatRecord(record) };
        const request = { name, fieldManager, body: { metadata: { annotations } } };
        // A merge patch: the next server-side apply of the namespace would remove the annotation from an apply.
        await connection.core.patchNamespace(request, setHeaderOptions('Content-Type', PatchStrategy.MergePatch));
      }
    ),
  };
}

/**
 * Returns the record of the nodes without which a run has ended; undefined without one. Of a record that cannot be read, it
 * returns one that lets everything be done again.
 */
export async function readUnfinished({ core }: ClusterConnection): Promise<UnfinishedRecord | undefined> {
  const namespace = await ifFound(core.readNamespace({ name }));
  const text = isOurs(namespace) ? namespace?.metadata?.annotations?.[unfinishedAnnotation] : undefined;
  return text === undefined ? undefined : parseRecord(text);
}
