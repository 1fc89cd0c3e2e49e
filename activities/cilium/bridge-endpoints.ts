import type { KubernetesObject } from '@kubernetes/client-node';
import { isOurs } from '../kubernetes/names.ts';

/** Returns the name of the CiliumEndpoint that the identity bridge creates for a pod (images/coexistence/cilium.go). */
export function bridgeEndpointName(podUid: string): string {
  return `canal-${podUid}`;
}

/**
 * Returns true for a CiliumEndpoint of the identity bridge. Its labels alone do not prove that: the endpoints of agents have
 * the labels of their pods, which users choose, and the name of the pod.
 */
export function isBridgeEndpoint(endpoint: KubernetesObject): boolean {
  const uid = podUidOf(endpoint);
  return isOurs(endpoint) && uid !== undefined && endpoint.metadata?.name === bridgeEndpointName(uid);
}

/** Returns the UID of the pod to which a CiliumEndpoint belongs. */
function podUidOf({ metadata }: KubernetesObject): string | undefined {
  return metadata?.ownerReferences?.find(({ kind }) => kind === 'Pod')?.uid;
}
