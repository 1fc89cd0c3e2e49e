import type { DrainOptions } from '../../workflows/model/input.ts';
import { contains } from '../../workflows/model/networks.ts';
import { isOnSource, type PodFacts } from './pods.ts';

/** What a drain does with a pod. */
export type DrainVerdict = { action: 'evict' } | { action: 'leave' } | { action: 'refuse'; reason: string };

/**
 * Decides about one pod of a node that is drained. In the order of `kubectl drain` (k8s.io/kubectl pkg/drain), with two
 * differences: pods on the host's network need no new address and stay, and pods that have an address of the target
 * network already are where they shall be.
 */
export function drainVerdict(pod: PodFacts, options: DrainOptions, targetPodCidr: string): DrainVerdict {
  if (pod.mirror || pod.finished || pod.hostNetwork) return { action: 'leave' };
  if (pod.controller === 'DaemonSet') return { action: 'leave' };
  if (contains(targetPodCidr, pod.ip)) return { action: 'leave' };
  // One that ends already needs no consent, only patience.
  if (pod.deletion !== undefined) return { action: 'evict' };
  if (pod.controller === undefined && !options.evictUnmanagedPods) {
    return {
      action: 'refuse',
      reason: 'it has no controller, so nothing would make it anew; consent with drain.evictUnmanagedPods',
    };
  }
  if (pod.emptyDirs.length > 0 && !options.deleteEmptyDirData) {
    const volumes = pod.emptyDirs.join(', ');
    return {
      action: 'refuse',
      reason: `its emptyDir data (${volumes}) would be lost; consent with drain.deleteEmptyDirData`,
    };
  }
  return { action: 'evict' };
}

/** True for a pod that a drain leaves, and that must be made anew in its place to get an address of the target network. */
export function needsRecycling(pod: PodFacts, targetPodCidr: string): boolean {
  return pod.controller === 'DaemonSet' && isOnSource(pod, targetPodCidr);
}
