import type { ClusterFacts } from '../../model/cluster-facts.ts';
import { findCanal } from '../canal/detect.ts';
import { ciliumOwnsCni } from '../cilium/agents.ts';
import { readPointOfNoReturn } from './point-of-no-return.ts';
import { failure } from '../support/failures.ts';
import { ownsNamespace } from '../helpers/namespace.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';

/** Creates the activity that reads the state of a cluster. */
export function createInspectionActivities(onCluster: OnCluster) {
  return {
    /**
     * Reads the facts that decide in which phase a migration has to start. Changes nothing.
     * @throws UnknownCluster
     * @throws ClusterUnreachable
     * @throws SourceNotFound when the network is neither Canal nor Cilium.
     */
    inspectCluster: onCluster(
      'read the cluster',
      async (connection, { cluster }: { cluster: string }): Promise<ClusterFacts> => {
        const { gitVersion } = await connection.version.getCode({});
        const canal = await findCanal(connection);
        const ownsCni = await ciliumOwnsCni(connection);
        if (canal === undefined && !ownsCni) {
          const message = `cluster ${cluster} does not run Canal: no DaemonSet has the containers calico-node and kube-flannel`;
          throw failure('SourceNotFound', message);
        }
        const pointOfNoReturn = await readPointOfNoReturn(connection);
        return {
          kubernetesVersion: gitVersion,
          ciliumOwnsCni: ownsCni,
          leftovers: canal === undefined && (await ownsNamespace(connection)),
          ...(canal && { canal: canal.facts }),
          ...(pointOfNoReturn && { pointOfNoReturn }),
        };
      }
    ),
  };
}
