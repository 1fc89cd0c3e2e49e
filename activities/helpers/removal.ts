import { flipLabel } from '../../model/names.ts';
import { removeNatExemption } from './nat-exemption.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { cordonedAnnotation, nodeAnnotations, sourceAgentLabel } from '../kubernetes/names.ts';
import { listNodes, patchNode } from '../kubernetes/nodes.ts';
import { readOwnNamespace } from '../kubernetes/own-namespace.ts';
import { emptyNamespace, removeNamespace } from './namespace-removal.ts';
import { readUnfinished } from './unfinished.ts';

/** Creates the activity that removes the objects that exist only during the migration. */
export function createHelperActivities(onCluster: OnCluster) {
  return {
    /**
     * Removes our labels and annotations from the nodes, and then the helpers with their namespace and its record: as long
     * as that exists, the removal is not finished. With a record of nodes that remain to be finished, only the helpers are
     * removed: the namespace stays. One that an administrator created stays, too; one of others is not touched.
     * @returns the names of the nodes that are not Ready, and may still have the rules of the NAT exemption.
     */
    removeHelpers: onCluster('remove our helpers', async (connection): Promise<string[]> => {
      // The namespace is deleted last: an earlier attempt that deleted it has removed the exemption from every node.
      const namespace = await readOwnNamespace(connection);
      const exists = namespace !== undefined && namespace.metadata?.deletionTimestamp === undefined;
      const leftOut = exists ? await removeNatExemption(connection) : [];
      await restoreNodes(connection);
      const hasRemainingNodes = (await readUnfinished(connection)) !== undefined;
      await (hasRemainingNodes ? emptyNamespace(connection) : removeNamespace(connection));
      return leftOut;
    }),
  };
}

/** Removes our labels and annotations from the nodes, and the cordons that are ours. */
async function restoreNodes(connection: ClusterConnection): Promise<void> {
  for (const { metadata } of await listNodes(connection)) {
    const { name = '', labels = {}, annotations = {} } = metadata ?? {};
    const ours = nodeAnnotations.filter((key) => annotations[key] !== undefined);
    const ownLabels = [flipLabel, sourceAgentLabel].filter((key) => labels[key] !== undefined);
    if (ours.length === 0 && ownLabels.length === 0) continue;
    const noLabels = Object.fromEntries(ownLabels.map((key) => [key, null]));
    await patchNode(connection, name, {
      metadata: { labels: noLabels, annotations: Object.fromEntries(ours.map((key) => [key, null])) },
      // Without its annotation, nothing would show that the cordon is ours.
      ...(ours.includes(cordonedAnnotation) && { spec: { unschedulable: null } }),
    });
  }
}
