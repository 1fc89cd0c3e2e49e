import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { applyObject } from '../kubernetes/apply.ts';
import type { Clusters } from '../kubernetes/connection.ts';
import { withFailures } from '../kubernetes/errors.ts';
import { helperNamespace as namespace, ownedLabels } from '../kubernetes/names.ts';
import type { NodeTarget } from '../kubernetes/nodes.ts';
import { runOnHost } from './run-script.ts';

/** Bytes of a bundle before it is compressed: it has to fit into a ConfigMap of 1 MiB, whatever it is. */
const maxBytes = 600_000;

/** Key of the ConfigMap. */
const diagnosticsKey = 'node.txt.gz';

/** Words after which a value may be a secret. */
const secretKeys = /("?(?:[\w-]*(?:token|password|secret|credential)|[\w-]*-data)"?\s*[:=]\s*)("[^"]*"|\S+)/gi;

/** The activity that gathers what is needed to find out why a node failed. */
export function createDiagnosticsActivities(clusters: Clusters) {
  return {
    /**
     * Writes down what the network of a node is like: state of the agent, endpoints, drops, CNI files, links, routes,
     * chains. A later bundle of the same node takes the place of an earlier one.
     * @returns the ConfigMap that it is in, `namespace/name`; undefined where Cilium, whose image it takes, never was.
     */
    collectDiagnostics: withFailures(
      'gather what may tell why it failed',
      async ({ cluster, node, reason }: NodeTarget & { reason: string }): Promise<string | undefined> => {
        const connection = await clusters.connect(cluster);
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

/** Takes out whatever stands after a word such as "token". */
export function withoutSecrets(text: string): string {
  return text.replaceAll(secretKeys, '$1<removed>');
}
