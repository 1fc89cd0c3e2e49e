import { flipLabel, flippedNodeConfig } from '../../workflows/model/helm-values.ts';
import { ciliumNamespace as namespace } from '../helm/release.ts';
import { applyObject, deleteObject, type NamedObject } from '../kubernetes/apply.ts';
import type { Clusters } from '../kubernetes/connection.ts';
import { ifFound, messageOf, statusOf, withFailures } from '../kubernetes/errors.ts';
import { ownedLabels, replacedAgentAnnotation } from '../kubernetes/names.ts';
import { patchNode, readNode, type NodeTarget } from '../kubernetes/nodes.ts';
import { isReady } from '../kubernetes/ready.ts';
import { poll } from '../poll.ts';
import { agentLabel } from './agents.ts';

/** Per-node configuration of the nodes that are flipped. */
const nodeConfig: NamedObject & { spec?: object } = {
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNodeConfig',
  metadata: { name: 'cni-live-migration', namespace, labels: ownedLabels },
};

/** The activities that flip nodes. */
export function createFlipActivities(clusters: Clusters) {
  return {
    /** Makes the CiliumNodeConfig that flips every node with the flip label once its agent pod is made anew. */
    applyNodeConfig: withFailures(
      'apply the CiliumNodeConfig',
      async ({ cluster }: { cluster: string }): Promise<void> => {
        const connection = await clusters.connect(cluster);
        const object = {
          ...nodeConfig,
          spec: { nodeSelector: { matchLabels: { [flipLabel]: 'true' } }, defaults: flippedNodeConfig },
        };
        await poll(
          async () => {
            try {
              await applyObject(connection, object);
              return { done: undefined };
            } catch (error) {
              // The operator makes the definition some moments after it started.
              const unknown = statusOf(error) === 404 || messageOf(error).includes('Unrecognized API version and kind');
              if (!unknown) throw error;
              return { waitingFor: "Cilium's operator to define CiliumNodeConfig" };
            }
          },
          { timeoutMs: 45_000, onTimeout: 'AgentNotReady', advice: `look at deployment ${namespace}/cilium-operator` }
        );
      }
    ),

    /** Removes it again. */
    removeNodeConfig: withFailures(
      'remove the CiliumNodeConfig',
      async ({ cluster }: { cluster: string }): Promise<void> => {
        await deleteObject(await clusters.connect(cluster), nodeConfig);
      }
    ),

    /**
     * Flips a node: labels it, has its agent pod made anew, and waits until the new agent is ready. Which agent pod must
     * go is written down on the node before it goes, so that a second call does not restart the agent again.
     * @throws AgentNotReady when no new agent gets ready.
     */
    flipNode: withFailures('flip the node', async ({ cluster, node }: NodeTarget): Promise<void> => {
      const connection = await clusters.connect(cluster);
      const agents = async () =>
        (
          await connection.core.listNamespacedPod({
            namespace,
            labelSelector: agentLabel,
            fieldSelector: `spec.nodeName=${node}`,
          })
        ).items;
      const { metadata } = await readNode(connection, node);
      let replaced = metadata?.annotations?.[replacedAgentAnnotation];
      if (metadata?.labels?.[flipLabel] !== 'true' || replaced === undefined) {
        replaced = (await agents())[0]?.metadata?.uid ?? 'none';
        await patchNode(connection, node, {
          metadata: { labels: { [flipLabel]: 'true' }, annotations: { [replacedAgentAnnotation]: replaced } },
        });
      }
      const old = (await agents()).find((pod) => pod.metadata?.uid === replaced);
      if (old?.metadata?.name !== undefined && old.metadata.deletionTimestamp === undefined) {
        const body = { preconditions: { uid: replaced } };
        await ifFound(connection.core.deleteNamespacedPod({ name: old.metadata.name, namespace, body }));
      }
      await poll(
        async () => {
          const ready = (await agents()).some((pod) => pod.metadata?.uid !== replaced && isReady(pod));
          return ready ? { done: undefined } : { waitingFor: `Cilium's new agent on ${node}` };
        },
        {
          timeoutMs: 300_000,
          onTimeout: 'AgentNotReady',
          advice: `look at the pod of ${namespace}/cilium on ${node}; the node stays cordoned`,
        }
      );
    }),
  };
}
