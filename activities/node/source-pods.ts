import { contains } from '../../model/networks.ts';
import type { PodFacts } from '../kubernetes/pods.ts';

/** Returns true for a running pod that has an address outside the target's pod CIDR. */
export function isOnSource(pod: PodFacts, targetPodCidr: string): boolean {
  return !pod.hostNetwork && !pod.finished && pod.ip !== undefined && !contains(targetPodCidr, pod.ip);
}
