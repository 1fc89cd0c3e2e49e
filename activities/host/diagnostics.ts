import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { applyObject } from '../kubernetes/apply.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { helperNamespace as namespace, ownedLabels } from '../kubernetes/names.ts';
import type { NodeTarget } from '../kubernetes/nodes.ts';
import { withoutSecrets } from './redaction.ts';
import { runOnHost } from './run-script.ts';

/**
 * Maximum size of a bundle before compression, in bytes: it has to fit into a ConfigMap of 1 MiB, however well it
 * compresses.
 */
const maxBytes = 600_000;

/** Key in the ConfigMap. */
const diagnosticsKey = 'node.txt.gz';

/** Creates the activity that collects diagnostics about a failed node. */
export function createDiagnosticsActivities(onCluster: OnCluster) {
  return {
    /**
     * Records the state of a node's network: agent, endpoints, drops, CNI files, links, routes, chains. A later bundle
     * of the same node replaces an earlier one.
     * @returns its ConfigMap, as `namespace/name`; undefined when Cilium, whose image the collection uses, was never
     * installed.
     */
    collectDiagnostics: onCluster(
      'collect diagnostics',
      async (connection, { node, reason }: NodeTarget & { reason: string }): Promise<string | undefined> => {
        const lines = await runOnHost(connection, node, 'diagnose');
        if (lines === undefined) return undefined;
        const text = withoutSecrets([`reason: ${reason}`, ...lines].join('\n')).slice(0, maxBytes);
        const name = `diagnostics-${node}`;
        await applyObject(connection, {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata: { name, namespace, labels: { ...ownedLabels, app: 'diagnostics' } },
          ...{ binaryData: { [diagnosticsKey]: (await promisify(gzip)(text)).toString('base64') } },
        });
        return `${namespace}/${name}`;
      }
    ),
  };
}
