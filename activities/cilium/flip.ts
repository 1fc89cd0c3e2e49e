import { flippedNodeConfig } from '../../model/helm-values.ts';
import { cniChainKey } from '../../model/names.ts';
import { cniChainName } from '../../model/names.ts';
import { flipLabel } from '../../model/names.ts';
import { buildCniChain } from '../canal/cni-chain.ts';
import { findCanal, readCanalConfig } from '../canal/detect.ts';
import { detectHostFolders } from '../canal/host-folders.ts';
import { failure } from '../support/failures.ts';
import { applyObject, deleteObject, type NamedObject } from '../kubernetes/apply.ts';
import { requireApproval } from '../kubernetes/approvals.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound, isUnknownKind, httpStatus } from '../kubernetes/errors.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import {
  bootAnnotation,
  ciliumNamespace as namespace,
  hostFoldersAnnotation,
  ownedLabels,
  replacedAgentAnnotation,
} from '../kubernetes/names.ts';
import { readNode, type NodeTarget } from '../kubernetes/nodes.ts';
import { poll } from '../support/poll.ts';
import { restartAgentOnce } from './agent-replacement.ts';

/** CiliumNodeConfig of the flipped nodes. */
const nodeConfig: NamedObject = {
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNodeConfig',
  metadata: { name: 'cni-live-migration', namespace, labels: ownedLabels },
};

/**
 * ConfigMap with the CNI file that agents write, next to Cilium's own configuration. Cilium needs it as long as Cilium
 * is installed, so it stays after the migration.
 */
export const cniChainObject: NamedObject = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: cniChainName, namespace, labels: ownedLabels },
};

/**
 * Returns true when a migration installed Cilium: the ConfigMap with our CNI file is created before the release, and
 * removed after everything else of Cilium.
 */
export async function ciliumIsOurs({ core }: ClusterConnection): Promise<boolean> {
  return (await ifFound(core.readNamespacedConfigMap({ name: cniChainName, namespace }))) !== undefined;
}

/** Creates the activities that flip nodes. */
export function createFlipActivities(onCluster: OnCluster) {
  return {
    /**
     * Creates the ConfigMap with the CNI file of Cilium's nodes, and with the folders that scripts on nodes work in: they
     * need these when Canal, which names them, is gone.
     */
    applyCniChain: onCluster(
      'apply the CNI file',
      async (connection, { cluster }: { cluster: string }): Promise<void> => {
        const canal = await findCanal(connection);
        if (canal === undefined) throw failure('SourceNotFound', `cluster ${cluster} no longer runs Canal`);
        const { configMap } = canal;
        const config = await readCanalConfig(connection, canal);
        const chain = buildCniChain(config?.['cni_network_config'], `ConfigMap ${canal.namespace}/${configMap}`);
        const folders = await detectHostFolders(connection);
        await applyObject(connection, {
          ...cniChainObject,
          metadata: { ...cniChainObject.metadata, annotations: { [hostFoldersAnnotation]: JSON.stringify(folders) } },
          ...{ data: { [cniChainKey]: JSON.stringify(chain, null, 2) } },
        });
      }
    ),

    /** Creates the CiliumNodeConfig that flips each node with the flip label once its agent pod is recreated. */
    applyNodeConfig: onCluster('apply the CiliumNodeConfig', async (connection): Promise<void> => {
      const object = {
        ...nodeConfig,
        spec: { nodeSelector: { matchLabels: { [flipLabel]: 'true' } }, defaults: flippedNodeConfig },
      };
      await applyOnceDefined(connection, object);
    }),

    /** Removes the CiliumNodeConfig. */
    removeNodeConfig: onCluster('remove the CiliumNodeConfig', async (connection): Promise<void> => {
      await deleteObject(connection, nodeConfig);
    }),

    /**
     * Flips a node: labels it, recreates its agent pod, and waits until the new agent is ready. Records the node's
     * current boot ID, for inputs that require a reboot.
     * @throws AgentNotReady when no new agent becomes ready.
     * @throws ApprovalMissing, ApprovalsUnverifiable when the node is not approved as configured.
     */
    flipNode: onCluster('flip the node', async (connection, { node }: NodeTarget): Promise<void> => {
      await requireApproval(connection, `node/${node}`);
      const { metadata, status } = await readNode(connection, node);
      const bootId = metadata?.annotations?.[bootAnnotation] ?? status?.nodeInfo?.bootID ?? '';
      await restartAgentOnce(connection, node, 'flip', {
        labels: { [flipLabel]: 'true' },
        annotations: { [bootAnnotation]: bootId },
      });
    }),

    /**
     * Reverts the agent's part of the flip: removes the label and recreates the agent, which then writes no CNI file.
     * Does nothing on a node that was never flipped.
     * @throws AgentNotReady when no new agent becomes ready.
     */
    revertNodeFlip: onCluster('revert the flip', async (connection, { node }: NodeTarget): Promise<void> => {
      const { metadata } = await readNode(connection, node);
      const purpose = metadata?.annotations?.[replacedAgentAnnotation]?.split(' ')[0];
      if (metadata?.labels?.[flipLabel] === undefined && purpose !== 'revert-flip') return;
      await restartAgentOnce(connection, node, 'revert-flip', {
        labels: { [flipLabel]: null },
        annotations: { [bootAnnotation]: null },
      });
    }),
  };
}

/** Applies the CiliumNodeConfig as soon as its CRD exists; the operator creates it some moments after its start. */
async function applyOnceDefined(connection: ClusterConnection, object: NamedObject): Promise<void> {
  await poll(
    async () => {
      try {
        await applyObject(connection, object);
        return { done: undefined };
      } catch (error) {
        const unknown = httpStatus(error) === 404 || isUnknownKind(error);
        if (!unknown) throw error;
        return { waitingFor: "Cilium's operator to create the CRD of CiliumNodeConfig" };
      }
    },
    { timeoutMs: 45_000, onTimeout: 'AgentNotReady', advice: `check the Deployment ${namespace}/cilium-operator` }
  );
}
