import { failure } from '../support/failures.ts';
import type { ClusterConnection, Clusters } from '../kubernetes/connection.ts';
import { listDefinitions, removeDefinitions } from '../kubernetes/crds.ts';
import { withFailures } from '../kubernetes/errors.ts';
import { removeNodeKeys } from '../kubernetes/nodes.ts';
import { calicoGroup, calicoObjects, isExported } from './export.ts';
import { listCanalObjects } from './removal.ts';

/**
 * Prefixes of the annotations and labels that Canal writes on nodes (flannel pkg/subnet/kube/annotations.go, Calico's
 * node agent).
 */
const nodeKeyPrefixes = ['flannel.alpha.coreos.com/', 'projectcalico.org/', 'crd.projectcalico.org/'];

/** Creates the activity that removes Canal's leftovers from the API. */
export function createTraceActivities(clusters: Clusters) {
  return {
    /**
     * Removes Calico's CRDs, and with them all its objects, and Canal's annotations and labels of nodes. Then verifies
     * that nothing of Canal is left.
     * @throws ExportFailed when the objects were not exported.
     * @throws CleanupIncomplete naming what is still there.
     */
    removeCanalTraces: withFailures(
      "remove Canal's traces",
      async ({ cluster }: { cluster: string }): Promise<void> => {
        const connection = await clusters.connect(cluster);
        await removeCalicoDefinitions(connection);
        await removeNodeKeys(connection, nodeKeyPrefixes);
        const leftovers = await listCanalObjects(connection);
        if (leftovers.length > 0)
          throw failure('CleanupIncomplete', `there is still: ${leftovers.join(', ')}`, { retryable: true });
      }
    ),
  };
}

async function removeCalicoDefinitions(connection: ClusterConnection): Promise<void> {
  if ((await listDefinitions(connection, calicoGroup)).length === 0) return;
  // An empty set of objects has no export.
  if (!(await isExported(connection)) && (await calicoObjects(connection)).length > 0)
    throw failure('ExportFailed', "Calico's objects are not exported, so its definitions are not removed; start again");
  await removeDefinitions(connection, calicoGroup);
}
