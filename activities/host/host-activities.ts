import type { Network } from '../../model/network.ts';
import { failure } from '../support/failures.ts';
import { findCanal } from '../canal/detect.ts';
import { recreateCanalPod } from '../canal/restore.ts';
import { requireApproval } from '../kubernetes/approvals.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import type { NodeTarget } from '../kubernetes/nodes.ts';
import { requireReportingKubelet } from '../helpers/one-shot-pod.ts';
import { removeCanalTables } from './packet-tables.ts';
import { runOnHost } from './run-script.ts';

/** Input of `cleanHost`. */
export interface CleanHostInput extends NodeTarget {
  /** The network whose leftovers are removed. */
  traces: Network;
  /** Image of the program that removes Canal's tables of nftables. */
  coexistenceImage: string;
}

/** Creates the activities that work on the nodes themselves. */
export function createHostActivities(onCluster: OnCluster) {
  return {
    /**
     * Restores the source network's CNI files and removes Cilium's. Releases the addresses that the source's IPAM keeps
     * for pods of the node that are gone. When there is no file to restore, recreates Canal's
     * pod of the node, which writes it.
     * @throws WrongNetwork when there is still none.
     */
    restoreSourceCni: onCluster("restore Canal's CNI file", async (connection, { node }: NodeTarget): Promise<void> => {
      const files = await runOnHost(connection, node, 'restore-source-cni');
      // Undefined: Cilium was never on this node, so there is nothing to restore.
      if (files === undefined || files.length > 0) return;
      const canal = await findCanal(connection);
      if (canal === undefined)
        throw failure('WrongNetwork', `${node} has no CNI file of Canal, and Canal is no longer installed`);
      await recreateCanalPod(connection, canal, node);
      const restoredFiles = await runOnHost(connection, node, 'restore-source-cni');
      if (restoredFiles?.length === 0) throw failure('WrongNetwork', `Canal wrote no CNI file on ${node}`);
    }),

    /**
     * Removes a network's leftovers from a node, and verifies their removal: links, routes, rules, sets, tables of
     * nftables, files. Removes nothing while a pod of the node uses that network or its agent still runs; or, of Cilium,
     * while the node would have no other CNI file.
     * @throws NodeNotReady when the node has left the cluster, or its kubelet has not reported for a minute.
     * @throws CleanupIncomplete naming what is still there, or the pods' links and addresses.
     * @throws ApprovalMissing, ApprovalsUnverifiable when the removal of Canal is not approved as configured.
     */
    cleanHost: onCluster(
      'clean the node',
      async (connection, { node, traces, coexistenceImage }: CleanHostInput): Promise<void> => {
        if (traces === 'canal') await requireApproval(connection, 'cleanup');
        // A pod that cannot start would stay in the API.
        await requireReportingKubelet(connection, node);
        const leftovers = await runOnHost(connection, node, `clean-${traces}`);
        if (leftovers === undefined) return;
        if (traces === 'canal') leftovers.push(...(await removeCanalTables(connection, node, coexistenceImage)));
        if (leftovers.length === 0) return;
        const problem = `left over on ${node}: ${leftovers.join('; ')}`;
        throw failure('CleanupIncomplete', `${problem}; check what uses them, or remove them on the node`, {
          retryable: true,
        });
      }
    ),
  };
}
