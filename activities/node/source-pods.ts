import { contains } from '../../model/networks.ts';
import type { PodFacts } from '../kubernetes/pods.ts';

/**
 * Annotation in which Calico's plugin writes a pod's address when it sets up the pod's network (libcalico-go,
 * lib/backend/k8s/conversion/constants.go); the identity bridge writes it for pods on Cilium.
 */
const addressAnnotation = 'cni.projectcalico.org/podIP';

const anyAddress = '0.0.0.0/0';

/**
 * Returns a pod's address. The kubelet reports it only when the pod's containers are created, which takes as long as
 * their images; until then, it is known from Calico's annotation.
 * @returns undefined for a pod without a network of its own, and for one whose network is not set up yet.
 */
export function podAddress({ ip, annotations, hostNetwork, node }: PodFacts): string | undefined {
  if (hostNetwork) return undefined;
  if (ip !== undefined) return ip;
  const annotated = annotations[addressAnnotation]?.split('/')[0];
  // Users can write annotations, too: a pod without a node has no network, even with an annotation.
  return node !== '' && contains(anyAddress, annotated) ? annotated : undefined;
}

/** Returns true for a pod that has not finished and has an address outside the target's pod CIDR. */
export function isOnSource(pod: PodFacts, targetPodCidr: string): boolean {
  const address = podAddress(pod);
  return !pod.finished && address !== undefined && !contains(targetPodCidr, address);
}
