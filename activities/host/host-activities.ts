import { failure } from '../support/failures.ts';
import type { Clusters } from '../kubernetes/connection.ts';
import { findCanal } from '../canal/detect.ts';
import { recreateCanalPod } from '../canal/restore.ts';
import { withFailures } from '../kubernetes/errors.ts';
import type { NodeTarget } from '../kubernetes/nodes.ts';
import type { Network } from '../../model/network.ts';
import { runOnHost } from './run-script.ts';

/** Creates the activities that work on the nodes themselves. */
export function createHostActivities(clusters: Clusters) {
  return {
    /**
     * Restores the source network's CNI files and removes Cilium's. When there is no file to restore, recreates Canal's
     * pod of the node, which writes it.
     * @throws WrongNetwork when there is still none.
     */
    restoreSourceCni: withFailures(
      "put Canal's CNI file back",
      async ({ cluster, node }: NodeTarget): Promise<void> => {
        const connection = await clusters.connect(cluster);
        const files = await runOnHost(connection, node, 'restore-source-cni');
        // Undefined: Cilium was never on this node, so there is nothing to restore.
        if (files === undefined || files.length > 0) return;
        const canal = await findCanal(connection);
        if (canal === undefined)
          throw failure('WrongNetwork', `${node} has no CNI file of Canal, and Canal is not installed any more`);
        await recreateCanalPod(connection, canal, node);
        const restoredFiles = await runOnHost(connection, node, 'restore-source-cni');
        if (restoredFiles?.length === 0) throw failure('WrongNetwork', `Canal wrote no CNI file on ${node}`);
      }
    ),

    /**
     * Removes a network's leftovers from a node, and verifies their removal: links, routes, rules, sets, files.
     * @throws CleanupIncomplete naming what is still there.
     */
    cleanHost: withFailures(
      'clean the node',
      async ({ cluster, node, traces }: NodeTarget & { traces: Network }): Promise<void> => {
        const leftovers = await runOnHost(await clusters.connect(cluster), node, `clean-${traces}`);
        if (leftovers === undefined || leftovers.length === 0) return;
        throw failure('CleanupIncomplete', `on ${node} there is still: ${leftovers.join('; ')}`, { retryable: true });
      }
    ),
  };
}
