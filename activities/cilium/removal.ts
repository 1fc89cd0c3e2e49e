import type { V1Taint } from '@kubernetes/client-node';
import { deleteObject } from '../kubernetes/apply.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { listDefinitions, removeDefinitions } from '../kubernetes/crds.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { ciliumNamespace as namespace } from '../kubernetes/names.ts';
import { listNodes, patchNode, removeNodeKeys } from '../kubernetes/nodes.ts';
import { ciliumGroup, exportUserObjects } from './export.ts';
import { ciliumIsOurs, cniChainObject } from './flip.ts';

/** Taint that Cilium's operator sets on nodes whose agent is not ready (operator/watchers/node_taint.go). */
const agentTaint = 'node.cilium.io/agent-not-ready';

/** Lease of the operator's leader election, which is not part of the chart (operator/cmd/root.go). */
const operatorLease = {
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: { name: 'cilium-operator-resource-lock', namespace },
};

/** Creates the activity that removes what a rollback leaves of Cilium in the API. */
export function createCiliumTraceActivities(onCluster: OnCluster) {
  return {
    /**
     * Removes Cilium's CRDs with their objects, and its annotations, labels and taints of nodes. First exports the users'
     * objects, as `exportCilium` does, because some may be newer than its export. Does nothing where our CNI file is
     * missing: in that case no migration installed Cilium.
     * @throws ExportFailed when the users' objects cannot be exported.
     * @throws CleanupIncomplete naming what is still there.
     */
    removeCiliumTraces: onCluster("remove Cilium's leftovers", async (connection): Promise<void> => {
      if (!(await ciliumIsOurs(connection))) return;
      await exportUserObjects(connection);
      await removeDefinitions(connection, () => listDefinitions(connection, ciliumGroup));
      await removeNodeKeys(connection, ['network.cilium.io/', 'io.cilium.']);
      await removeTaints(connection);
      await deleteObject(connection, operatorLease);
      // Removed last: it marks Cilium as ours.
      await deleteObject(connection, cniChainObject);
    }),
  };
}

async function removeTaints(connection: ClusterConnection): Promise<void> {
  const nodes = await listNodes(connection);
  for (const { metadata, spec } of nodes) {
    const taints = spec?.taints ?? [];
    const kept: V1Taint[] = taints.filter(({ key }) => key !== agentTaint);
    if (kept.length === taints.length) continue;
    // Of two concurrent changes of the list, one is refused and retried.
    const resourceVersion = metadata?.resourceVersion;
    await patchNode(connection, metadata?.name ?? '', { metadata: { resourceVersion }, spec: { taints: kept } });
  }
}
