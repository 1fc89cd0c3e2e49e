import { PatchStrategy, setHeaderOptions, type KubernetesObject, type V1Deployment } from '@kubernetes/client-node';
import { mapLimit } from '../support/map-limit.ts';
import { bridgeEndpointName, isBridgeEndpoint } from '../cilium/bridge-endpoints.ts';
import { readCiliumConfig } from '../cilium/config.ts';
import { applyNamespace } from './namespace.ts';
import { applyObject, deleteObject, listKnown } from '../kubernetes/apply.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import { removeLostPods } from '../kubernetes/lost-pods.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { helperNamespace as namespace } from '../kubernetes/names.ts';
import type { NodeTarget } from '../kubernetes/nodes.ts';
import { listPods, type PodFacts } from '../kubernetes/pods.ts';
import { isOnSource } from '../node/source-pods.ts';
import { contains } from '../../model/networks.ts';
import { summarizeList } from '../../model/summarize.ts';
import { failure } from '../support/failures.ts';
import { poll } from '../support/poll.ts';
import { bridgeObjects, type IdentityBridgeTarget } from './identity-bridge-objects.ts';
import { bridgeRole, calicoAddressAnnotation, identityBridge } from './names.ts';

type Endpoint = KubernetesObject & { status?: { networking?: { addressing?: { ipv4?: string }[] } } };

/** Maximum number of parallel requests. */
const maxParallelRequests = 10;

/** Maximum number of pods that are named in the description of a wait. */
const maxNamed = 5;

/** Creates the activities on the identity bridge. */
export function createIdentityBridgeActivities(onCluster: OnCluster) {
  return {
    /**
     * Deploys the identity bridge, and waits until every pod that is still on Canal has its CiliumEndpoint. The bridge
     * keeps running when the worker stops.
     * @throws AgentNotReady naming the pods that have none.
     */
    deployIdentityBridge: onCluster(
      'deploy the identity bridge',
      async (connection, { cluster, ...target }: IdentityBridgeTarget): Promise<void> => {
        await applyNamespace(connection);
        for (const object of bridgeObjects(target, await readCiliumConfig(connection)))
          await applyObject(connection, object);
        await waitForIdentityBridge(connection, 'every');
        await waitForEndpointsInSync(connection, target.targetPodCidr);
      }
    ),

    /**
     * Waits until one replica of the bridge runs and is in sync now: every pod on Canal has its CiliumEndpoint, and the API
     * server answers. Required before a node is flipped. `restoreHelpers` recreates a bridge that was deleted.
     * @throws AgentNotReady on timeout, or when the bridge does not exist.
     */
    requireIdentityBridge: onCluster<void, NodeTarget>('check the identity bridge', (connection) =>
      waitForIdentityBridge(connection, 'one')
    ),

    /**
     * Stops the bridge and removes its objects: its CiliumEndpoints, and the addresses that it wrote into annotations
     * of pods on Cilium. Cilium collects unused identities itself. Does nothing where there is no bridge.
     */
    removeIdentityBridge: onCluster(
      'remove the identity bridge',
      async (connection, { targetPodCidr }: { cluster: string; targetPodCidr: string }): Promise<void> => {
        await deleteObject(connection, { ...deployment, metadata: { name: identityBridge, namespace } });
        await poll(
          async () => {
            await removeLostPods(connection, { namespace, daemonSets: [] });
            const { items } = await connection.core.listNamespacedPod({
              namespace,
              labelSelector: `app=${identityBridge}`,
            });
            return items.length === 0 ? { done: undefined } : { waitingFor: 'the end of the identity bridge' };
          },
          { timeoutMs: 120_000, onTimeout: 'CleanupIncomplete', advice: `check its pods in ${namespace}` }
        );
        await mapLimit(maxParallelRequests, await ownEndpoints(connection), async ({ metadata }) => {
          const { name = '', namespace: podNamespace = '' } = metadata ?? {};
          await deleteObject(connection, { ...endpoint, metadata: { name, namespace: podNamespace } });
        });
        const annotated = (await listPods(connection)).filter(
          ({ annotations, ip }) => annotations[calicoAddressAnnotation] !== undefined && contains(targetPodCidr, ip)
        );
        await mapLimit(maxParallelRequests, annotated, (pod) => removeAddressAnnotation(connection, pod));
        for (const kind of ['ClusterRoleBinding', 'ClusterRole']) {
          await deleteObject(connection, {
            apiVersion: 'rbac.authorization.k8s.io/v1',
            kind,
            metadata: { name: bridgeRole },
          });
        }
      }
    ),
  };
}

/**
 * Removes the address from a pod's annotations. A deleted pod is ignored. It does so through the status, because
 * permission to patch pods would include their images.
 */
async function removeAddressAnnotation(
  { core }: ClusterConnection,
  { name, namespace: podNamespace }: PodFacts
): Promise<void> {
  const body = { metadata: { annotations: { [calicoAddressAnnotation]: null } } };
  const merge = setHeaderOptions('Content-Type', PatchStrategy.MergePatch);
  await ifFound(core.patchNamespacedPodStatus({ name, namespace: podNamespace, body }, merge));
}

const deployment = { apiVersion: 'apps/v1', kind: 'Deployment' };
const endpoint = { apiVersion: 'cilium.io/v2', kind: 'CiliumEndpoint' };

async function ownEndpoints(connection: ClusterConnection): Promise<Endpoint[]> {
  return (await listKnown<Endpoint>(connection, endpoint.apiVersion, endpoint.kind)).filter(isBridgeEndpoint);
}

async function waitForIdentityBridge({ apps }: ClusterConnection, which: 'one' | 'every'): Promise<void> {
  await poll(
    async () => {
      const bridge = await ifFound(apps.readNamespacedDeployment({ name: identityBridge, namespace }));
      if (bridge === undefined)
        throw failure(
          'AgentNotReady',
          `Deployment ${namespace}/${identityBridge} does not exist; retry the node, or start the migration again, which recreates it`
        );
      const required = which === 'one' ? 1 : (bridge.spec?.replicas ?? 1);
      const ready = readyReplicas(bridge, which === 'one' ? undefined : required);
      return ready >= required
        ? { done: undefined }
        : { waitingFor: `Deployment ${namespace}/${identityBridge} (${ready} of ${required} in sync)` };
    },
    {
      timeoutMs: 300_000,
      onTimeout: 'AgentNotReady',
      advice: `check its pods in ${namespace}; no node is flipped until it is in sync`,
    }
  );
}

/**
 * Returns the number of ready replicas; 0 until the deployment's controller has observed its latest generation.
 * @param updated number of replicas that must be of that generation; any number by default.
 */
function readyReplicas({ metadata, status = {} }: V1Deployment, updated?: number): number {
  const { observedGeneration = 0, updatedReplicas, readyReplicas: ready = 0 } = status;
  const current = observedGeneration >= (metadata?.generation ?? 0);
  return current && (updated === undefined || updatedReplicas === updated) ? ready : 0;
}

/**
 * Waits until every pod on Canal has its CiliumEndpoint. Reads the cluster itself, and does not rely on the bridge's
 * report.
 */
async function waitForEndpointsInSync(connection: ClusterConnection, targetPodCidr: string): Promise<void> {
  await poll(
    async () => {
      const pods = (await listPods(connection)).filter(
        (pod) => isOnSource(pod, targetPodCidr) && pod.deletion === undefined
      );
      const endpointAddresses = new Map(
        (await ownEndpoints(connection)).map(({ metadata, status }) => [
          metadata?.name,
          status?.networking?.addressing?.[0]?.ipv4,
        ])
      );
      const missing = pods
        .filter((pod) => endpointAddresses.get(bridgeEndpointName(pod.uid)) !== pod.ip)
        .map(({ key }) => key);
      if (missing.length === 0) return { done: undefined };
      return { waitingFor: `CiliumEndpoints of pods on Canal: ${summarizeList(missing, maxNamed)}` };
    },
    { timeoutMs: 300_000, onTimeout: 'AgentNotReady', advice: `check the log of ${namespace}/${identityBridge}` }
  );
}
