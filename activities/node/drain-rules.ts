import type { DrainOptions } from '../../model/input.ts';
import type { Network } from '../../model/network.ts';
import { contains } from '../../model/networks.ts';
import type { PodFacts } from '../kubernetes/pods.ts';
import { podAddress } from './source-pods.ts';

/** Selects the pods that are moved, and the network that they move to. */
export interface DrainRules {
  /** Network from which the pods must get an address. */
  to: Network;
  targetPodCidr: string;
  /** True when pods of DaemonSets are evicted too: they are recreated on the same node. */
  daemonSets: boolean;
  options: DrainOptions;
  /** Pods, as namespace/name, that an operator wants deleted when eviction does not move them. */
  forcedPods: readonly string[];
}

/** Action of a drain on a pod. */
export type DrainVerdict =
  | { action: 'evict' }
  | { action: 'delete' }
  | { action: 'leave' }
  /** The pod is about to get its address, and with it its network. */
  | { action: 'wait' }
  | { action: 'refuse'; reason: string };

/** Age in ms below which the runtime may still be setting up the network of a pod without an address. */
const networkSetupMs = 60_000;

/** Time in ms after its grace period after which a terminating pod counts as stuck. */
export const terminationMarginMs = 60_000;

type Filter = (pod: PodFacts, rules: DrainRules, now: number) => DrainVerdict | undefined;

/**
 * The filters, of which the first with a verdict decides. The order is that of `kubectl drain` (k8s.io/kubectl
 * pkg/drain/filters.go), with these differences: pods on the host's network need no new address and stay, pods with an
 * address of the right network stay, and an operator's decision about one pod precedes consents for all pods.
 */
const filters: readonly Filter[] = [
  function skipHostNetwork(pod) {
    return pod.mirror || pod.finished || pod.hostNetwork ? { action: 'leave' } : undefined;
  },
  function daemonSet(pod, { daemonSets }) {
    return pod.controller === 'DaemonSet' && !daemonSets ? { action: 'leave' } : undefined;
  },
  function alreadyMoved(pod, { to, targetPodCidr }) {
    const address = podAddress(pod);
    if (address === undefined) return undefined;
    return contains(targetPodCidr, address) === (to === 'cilium') ? { action: 'leave' } : undefined;
  },
  function terminating(pod) {
    // A terminating pod needs no consent any more; the drain only waits for it.
    return pod.deletion === undefined ? undefined : { action: 'evict' };
  },
  function awaitingIP(pod, { daemonSets }, now) {
    // After the flip, a pod without an address will get one of the right network, unless its setup has already started.
    // Before the flip, it will always get one of the wrong network.
    if (podAddress(pod) !== undefined || !daemonSets) return undefined;
    return now - Date.parse(pod.createdAt) < networkSetupMs ? { action: 'wait' } : { action: 'leave' };
  },
  function forced(pod, { forcedPods }) {
    return forcedPods.includes(pod.key) ? { action: 'delete' } : undefined;
  },
  function unreplicated(pod, { options }) {
    if (pod.controller !== undefined || consents(options.evictUnmanagedPods, pod)) return undefined;
    return {
      action: 'refuse',
      reason: 'it has no controller that would recreate it; consent with drain.evictUnmanagedPods',
    };
  },
  function localStorage(pod, { options }) {
    // A DaemonSet's pod is recreated on the same node, but its emptyDir is lost.
    if (pod.emptyDirs.length === 0 || pod.controller === 'DaemonSet' || consents(options.deleteEmptyDirData, pod))
      return undefined;
    const volumes = pod.emptyDirs.join(', ');
    return {
      action: 'refuse',
      reason: `its emptyDir data (${volumes}) would be lost; consent with drain.deleteEmptyDirData`,
    };
  },
];

/**
 * Returns the action of a drain on a pod of a node.
 * @param now in ms since the epoch.
 */
export function drainVerdict(pod: PodFacts, rules: DrainRules, now: number): DrainVerdict {
  for (const filter of filters) {
    const verdict = filter(pod, rules, now);
    if (verdict !== undefined) return verdict;
  }
  return { action: 'evict' };
}

/**
 * Returns true when a terminating pod has exceeded its deadline.
 * @param now in ms since the epoch.
 */
export function isOverdue({ deletion }: PodFacts, now: number): boolean {
  // The API server sets the time of deletion to the end of the grace period.
  return deletion !== undefined && now - Date.parse(deletion.at) > terminationMarginMs;
}

/**
 * Describes the termination of a pod: in progress, or stuck; undefined when it is not terminating.
 * @param nodeReady true when its kubelet responds; used only for a pod that {@link isOverdue}.
 * @param now in ms since the epoch.
 */
export function describeTermination(
  pod: PodFacts,
  nodeReady: boolean,
  now: number
): { kind: 'Terminating' | 'StuckTerminating'; reason: string } | undefined {
  if (pod.deletion === undefined) return undefined;
  if (!isOverdue(pod, now)) return { kind: 'Terminating', reason: `it terminates by ${pod.deletion.at}` };
  const over = `its grace period ended at ${pod.deletion.at} and it still exists`;
  if (pod.finalizers.length > 0) {
    return { kind: 'StuckTerminating', reason: `${over}: it has the finalizers ${pod.finalizers.join(', ')}` };
  }
  const advice = nodeReady ? 'check its containers and volumes on the node' : 'its node is not Ready';
  return { kind: 'StuckTerminating', reason: `${over}: ${advice}` };
}

/** Returns true when the given consent, for all pods or for some, covers this pod. */
export function consents(consent: boolean | readonly string[], pod: PodFacts): boolean {
  if (typeof consent === 'boolean') return consent;
  return consent.some((pattern) =>
    pattern.endsWith('*') ? pod.key.startsWith(pattern.slice(0, -1)) : pod.key === pattern
  );
}
