import { PatchStrategy, setHeaderOptions, type V1Node } from '@kubernetes/client-node';
import { flipLabel } from '../../workflows/model/helm-values.ts';
import { failure } from '../failures.ts';
import type { ClusterConnection, Clusters } from './connection.ts';
import { ifFound, withFailures } from './errors.ts';
import { cordonedAnnotation, fieldManager } from './names.ts';
import { isOnSource, podsOnNode } from './pods.ts';

/** Which node of which cluster. */
export interface NodeTarget {
  cluster: string;
  node: string;
}

/** What a node looks like, as far as its migration goes. */
export interface NodeObservation {
  /** It carries the label that flips it. */
  flipped: boolean;
  /** This service cordoned it. */
  cordonedByUs: boolean;
  /** Pods, by namespace/name, that have an address outside the target's pod CIDR. */
  podsOnSource: string[];
}

/** The activities on nodes. */
export function createNodeActivities(clusters: Clusters) {
  return {
    /** Reads how far a node is. @throws NodeNotReady when it does not exist. */
    observeNode: withFailures(
      'observe the node',
      async ({ cluster, node, targetPodCidr }: NodeTarget & { targetPodCidr: string }): Promise<NodeObservation> => {
        const connection = await clusters.connect(cluster);
        const found = await readNode(connection, node);
        const pods = await podsOnNode(connection, node);
        return {
          flipped: found.metadata?.labels?.[flipLabel] === 'true',
          cordonedByUs: found.metadata?.annotations?.[cordonedAnnotation] !== undefined,
          podsOnSource: pods.filter((pod) => isOnSource(pod, targetPodCidr)).map((pod) => pod.key),
        };
      }
    ),

    /**
     * Cordons a node and marks that it was us; a node that is cordoned already is left as it is, and stays cordoned
     * after its migration.
     */
    cordonNode: withFailures('cordon the node', async ({ cluster, node }: NodeTarget): Promise<void> => {
      const connection = await clusters.connect(cluster);
      const found = await readNode(connection, node);
      if (found.spec?.unschedulable === true) return;
      await patchNode(connection, node, {
        metadata: { annotations: { [cordonedAnnotation]: 'true' } },
        spec: { unschedulable: true },
      });
    }),

    /** Uncordons a node that {@link cordonNode} cordoned; any other is left alone, and so is one that is gone. */
    uncordonNode: withFailures('uncordon the node', async ({ cluster, node }: NodeTarget): Promise<void> => {
      const connection = await clusters.connect(cluster);
      const found = await ifFound(connection.core.readNode({ name: node }));
      if (found?.metadata?.annotations?.[cordonedAnnotation] === undefined) return;
      await patchNode(connection, node, {
        metadata: { annotations: { [cordonedAnnotation]: null } },
        spec: { unschedulable: null },
      });
    }),
  };
}

/** Reads a node. @throws NodeNotReady when there is none of that name. */
export async function readNode({ core }: ClusterConnection, node: string): Promise<V1Node> {
  const found = await ifFound(core.readNode({ name: node }));
  if (found === undefined) throw failure('NodeNotReady', `the cluster has no node ${node} any more`);
  return found;
}

/** Changes fields of a node, and only these (JSON merge patch). */
export async function patchNode({ core }: ClusterConnection, node: string, body: object): Promise<void> {
  await core.patchNode({ name: node, body, fieldManager }, setHeaderOptions('Content-Type', PatchStrategy.MergePatch));
}
