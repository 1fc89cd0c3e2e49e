import type { ClusterFacts } from '../../model/cluster-facts.ts';
import { findCanal } from '../canal/detect.ts';
import { ciliumOwnsCni } from '../cilium/agents.ts';
import { failure } from '../support/failures.ts';
import { ownsNamespace } from '../helpers/namespace.ts';
import type { Clusters } from '../kubernetes/connection.ts';
import { withFailures } from '../kubernetes/errors.ts';

/** Creates the activity that reads the state of a cluster. */
export function createInspectionActivities(clusters: Clusters) {
  return {
    /**
     * Reads the facts that decide in which phase a migration has to start. Changes nothing.
     * @throws UnknownCluster
     * @throws ClusterUnreachable
     * @throws SourceNotFound when the network is neither Canal nor Cilium.
     */
    inspectCluster: withFailures(
      'read the cluster',
      async ({ cluster }: { cluster: string }): Promise<ClusterFacts> => {
        const connection = await clusters.connect(cluster);
        const { gitVersion } = await connection.version.getCode({});
        const canal = await findCanal(connection);
        const ownsCni = await ciliumOwnsCni(connection);
        if (canal === undefined && !ownsCni) {
          const message = `cluster ${cluster} does not run Canal: no DaemonSet has the containers calico-node and kube-flannel`;
          throw failure('SourceNotFound', message);
        }
        return {
          kubernetesVersion: gitVersion,
          ciliumOwnsCni: ownsCni,
          leftovers: canal === undefined && (await ownsNamespace(connection)),
          ...(canal && { canal: canal.facts }),
        };
      }
    ),
  };
}
