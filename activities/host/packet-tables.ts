import type { ClusterConnection } from '../kubernetes/connection.ts';
import { limitedMemory, rootWith } from '../helpers/container-security.ts';
import type { OneShotPod } from '../helpers/one-shot-pod.ts';
import { runToEnd } from './run-to-end.ts';

/**
 * Removes the tables that Flannel and Calico leave in nftables on a node. The script `clean-canal` must have succeeded
 * before: it refuses to run while a pod of the node is on Canal, or while an agent of Canal runs. Cilium's image, in which
 * the scripts run, has no program that reads these tables.
 * @returns what is left over: one text for each table, and for each chain of Canal in a table of another program.
 * @throws as {@link runToEnd}.
 */
export function removeCanalTables(connection: ClusterConnection, node: string, image: string): Promise<string[]> {
  return runToEnd(connection, tablesPod(node, image));
}

/** Describes the pod that removes them. It may change the packet filters of its node, and nothing else. */
export function tablesPod(node: string, image: string): OneShotPod {
  return {
    app: 'clean-tables',
    node,
    container: {
      name: 'clean-tables',
      image,
      args: ['clean-tables'],
      terminationMessagePolicy: 'FallbackToLogsOnError',
      securityContext: rootWith('NET_ADMIN'),
      resources: limitedMemory('64Mi'),
    },
    spec: { hostNetwork: true },
  };
}
