import type { ClusterConnection, Clusters } from './connection.ts';
import { withFailures } from './errors.ts';

/** Input of an activity on a cluster: it names the cluster, or contains the input of a migration, which does. */
export type ClusterInput = { cluster: string } | { input: { cluster: string } };

/**
 * Wraps an activity on a cluster. It gets the connection to the cluster that its input names, it heartbeats while it
 * runs, and every error becomes one of this service's failures.
 * @param operation verb and object, such as "cordon the node", for the message of a failure.
 */
export type OnCluster = <Result, Input extends ClusterInput = { cluster: string }>(
  operation: string,
  activity: (connection: ClusterConnection, input: Input) => Promise<Result>
) => (input: Input) => Promise<Result>;

/** Creates the wrapper of the activities that run on these clusters. */
export function createOnCluster(clusters: Clusters): OnCluster {
  return (operation, activity) =>
    withFailures(operation, async (input) => activity(await clusters.connect(clusterName(input)), input));
}

/** Returns the name of the cluster of an input. */
export function clusterName(input: ClusterInput): string {
  return 'cluster' in input ? input.cluster : input.input.cluster;
}
