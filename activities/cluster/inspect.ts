import type { ClusterFacts } from '../../model/cluster-facts.ts';
import {
  canalDescription,
  describeIgnored,
  findCanal,
  findCandidates,
  listCanalNamespaces,
  readCanalConfig,
  readCanalFacts,
} from '../canal/detect.ts';
import { ciliumOwnsCni } from '../cilium/agents.ts';
import { readPointOfNoReturn } from './point-of-no-return.ts';
import { readUnfinishedRollback } from './rollback-record.ts';
import { failure } from '../support/failures.ts';
import { readUnfinished } from '../helpers/unfinished.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { isNamespaceInUse, requireNoForeignNamespace } from '../kubernetes/own-namespace.ts';
import { allPages } from '../kubernetes/pagination.ts';

/** Returns what earlier runs have recorded in our namespace. */
async function readRecords(
  connection: ClusterConnection
): Promise<Pick<ClusterFacts, 'pointOfNoReturn' | 'rollbackBegun' | 'unfinished'>> {
  const pointOfNoReturn = await readPointOfNoReturn(connection);
  const rollbackBegun = await readUnfinishedRollback(connection);
  const unfinished = await readUnfinished(connection);
  return {
    ...(pointOfNoReturn && { pointOfNoReturn }),
    ...(rollbackBegun && { rollbackBegun }),
    ...(unfinished && { unfinished }),
  };
}

/** Describes where Canal was looked for, and what was ignored because it is elsewhere. */
async function describeMissing(connection: ClusterConnection): Promise<string> {
  const all = await allPages((page) => connection.apps.listDaemonSetForAllNamespaces({ ...page }));
  const { ignored } = findCandidates(connection, all);
  const missing = `there is no ${canalDescription} in ${listCanalNamespaces(connection).join(', ')}`;
  if (ignored.length === 0) return missing;
  const advice = 'if that is Canal, name its namespace in "canalNamespaces" of the worker\'s file';
  return `${missing}; ${describeIgnored(connection, ignored)}; ${advice}`;
}

/** Creates the activity that reads the state of a cluster. */
export function createInspectionActivities(onCluster: OnCluster) {
  return {
    /**
     * Reads the facts that decide in which phase a migration has to start. Changes nothing.
     * @throws UnknownCluster
     * @throws ClusterUnreachable
     * @throws ForeignNamespace after the cutover, when what earlier runs recorded is in a namespace that is not ours. Before it,
     * the check `helper-namespace` reports that.
     * @throws SourceAmbiguous when several DaemonSets look like Canal.
     * @throws SourceNotFound when the network is neither Canal nor Cilium, or when Canal's configuration cannot be read.
     */
    inspectCluster: onCluster(
      'read the cluster',
      async (connection, { cluster }: { cluster: string }): Promise<ClusterFacts> => {
        const { gitVersion } = await connection.version.getCode({});
        const installation = await findCanal(connection);
        const ownsCni = await ciliumOwnsCni(connection);
        if (installation === undefined && !ownsCni) {
          throw failure(
            'SourceNotFound',
            `cluster ${cluster} does not run Canal: ${await describeMissing(connection)}`
          );
        }
        if (installation === undefined || ownsCni) await requireNoForeignNamespace(connection);
        const removing =
          ownsCni && installation !== undefined && (await readCanalConfig(connection, installation)) === undefined;
        // A Canal whose removal has started can no longer run: only leftovers of it exist.
        const canal =
          installation === undefined || removing ? undefined : await readCanalFacts(connection, installation);
        return {
          kubernetesVersion: gitVersion,
          ciliumOwnsCni: ownsCni,
          leftovers: removing || (canal === undefined && (await isNamespaceInUse(connection))),
          ...(canal && { canal }),
          ...(await readRecords(connection)),
        };
      }
    ),
  };
}
