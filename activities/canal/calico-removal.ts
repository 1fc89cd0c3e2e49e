import { failure } from '../support/failures.ts';
import { requireApproval } from '../kubernetes/approvals.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { listDefinitions, removeDefinitions } from '../kubernetes/crds.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { removeNodeKeys } from '../kubernetes/nodes.ts';
import { listUnusedPolicyDefinitions } from './policy-definitions.ts';
import { calicoGroup, calicoObjects, isExported } from './export.ts';
import { listCanalObjects } from './removal.ts';

/**
 * Prefixes of the annotations and labels that Canal writes on nodes (flannel pkg/subnet/kube/annotations.go, Calico's
 * node agent).
 */
const nodeKeyPrefixes = ['flannel.alpha.coreos.com/', 'projectcalico.org/', 'crd.projectcalico.org/'];

/** Creates the activity that removes Canal's leftovers from the API. */
export function createTraceActivities(onCluster: OnCluster) {
  return {
    /**
     * Removes Calico's CRDs, and with them all its objects, the unused CRDs of the network policy API that its manifest
     * defines, and Canal's annotations and labels of nodes. Then verifies that nothing of Canal is left.
     * @throws ApprovalMissing, ApprovalsUnverifiable when the cleanup is not approved as configured.
     * @throws ExportFailed when the objects were not exported.
     * @throws CleanupIncomplete naming what is still there.
     */
    removeCanalTraces: onCluster("remove Canal's leftovers", async (connection): Promise<void> => {
      await requireApproval(connection, 'cleanup');
      await removeCalicoDefinitions(connection);
      await removeDefinitions(connection, () => listUnusedPolicyDefinitions(connection));
      await removeNodeKeys(connection, nodeKeyPrefixes);
      const leftovers = await listCanalObjects(connection);
      if (leftovers.length > 0)
        throw failure(
          'CleanupIncomplete',
          `left over in the cluster: ${leftovers.join(', ')}; check what creates them again, or which finalizer keeps them`,
          { retryable: true }
        );
    }),
  };
}

async function removeCalicoDefinitions(connection: ClusterConnection): Promise<void> {
  if ((await listDefinitions(connection, calicoGroup)).length === 0) return;
  // An empty set of objects has no export.
  if (!(await isExported(connection)) && (await calicoObjects(connection)).length > 0)
    throw failure('ExportFailed', "Calico's objects are not exported, so its definitions are not removed; start again");
  await removeDefinitions(connection, () => listDefinitions(connection, calicoGroup));
}
