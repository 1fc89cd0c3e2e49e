import type { DrainOptions } from '../../model/input.ts';
import { contains } from '../../model/networks.ts';
import type { PodFacts } from '../kubernetes/pods.ts';

/** Which pods are moved, and to which network. */
export interface DrainRules {
  /** The network that pods shall get an address of. */
  to: 'target' | 'source';
  targetPodCidr: string;
  /** Whether DaemonSets' pods are evicted too: they come back on the same node. */
  daemonSets: boolean;
  options: DrainOptions;
  /** Pods, namespace/name, that a human wants deleted where eviction does not move them. */
  forcedPods: readonly string[];
}

/** What a drain does with a pod. */
export type DrainVerdict =
  | { action: 'evict' }
  | { action: 'delete' }
  | { action: 'leave' }
  /** It is about to get its address, and with it its network. */
  | { action: 'wait' }
  | { action: 'refuse'; reason: string };

/** A pod without an address that is younger than this, in ms, may be being wired just now. */
const wiringMs = 60_000;

/** After its grace period a pod has this long to be gone, in ms, before it counts as stuck. */
export const endingMarginMs = 60_000;

type Filter = (pod: PodFacts, rules: DrainRules, now: number) => DrainVerdict | undefined;

/**
 * The first that has an opinion decides. In the order of `kubectl drain` (k8s.io/kubectl pkg/drain/filters.go), with
 * these differences: pods on the host's network need no new address and stay, pods with an address of the right network
 * are where they shall be, and a human's decision about one pod goes before consents for all.
 */
const filters: readonly Filter[] = [
  function withoutNetwork(pod) {
    return pod.mirror || pod.finished || pod.hostNetwork ? { action: 'leave' } : undefined;
  },
  function daemonSetsStay(pod, { daemonSets }) {
    return pod.controller === 'DaemonSet' && !daemonSets ? { action: 'leave' } : undefined;
  },
  function moved(pod, { to, targetPodCidr }) {
    if (pod.ip === undefined) return undefined;
    return contains(targetPodCidr, pod.ip) === (to === 'target') ? { action: 'leave' } : undefined;
  },
  function ending(pod) {
    // It needs no consent any more, only patience.
    return pod.deletion === undefined ? undefined : { action: 'evict' };
  },
  function beingWired(pod, { daemonSets }, now) {
    // After the flip a pod without an address will get one of the right network, unless it is in the middle of it. Before
    // the flip, it gets one of the wrong network for sure.
    if (pod.ip !== undefined || !daemonSets) return undefined;
    return now - Date.parse(pod.createdAt) < wiringMs ? { action: 'wait' } : { action: 'leave' };
  },
  function forced(pod, { forcedPods }) {
    return forcedPods.includes(pod.key) ? { action: 'delete' } : undefined;
  },
  function unmanaged(pod, { options }) {
    if (pod.controller !== undefined || consents(options.evictUnmanagedPods, pod)) return undefined;
    return {
      action: 'refuse',
      reason: 'it has no controller, so nothing would make it anew; consent with drain.evictUnmanagedPods',
    };
  },
  function localData(pod, { options }) {
    // A DaemonSet's pod comes back to the same node, but its emptyDir does not.
    if (pod.emptyDirs.length === 0 || pod.controller === 'DaemonSet' || consents(options.deleteEmptyDirData, pod))
      return undefined;
    const volumes = pod.emptyDirs.join(', ');
    return {
      action: 'refuse',
      reason: `its emptyDir data (${volumes}) would be lost; consent with drain.deleteEmptyDirData`,
    };
  },
];

/** Decides about one pod of a node. @param now in ms since the epoch. */
export function drainVerdict(pod: PodFacts, rules: DrainRules, now: number): DrainVerdict {
  for (const filter of filters) {
    const verdict = filter(pod, rules, now);
    if (verdict !== undefined) return verdict;
  }
  return { action: 'evict' };
}

/** Whether a pod that was told to end should have ended by now. @param now in ms since the epoch. */
export function isOverdue({ deletion }: PodFacts, now: number): boolean {
  // The API server sets the time of deletion to the end of the grace period.
  return deletion !== undefined && now - Date.parse(deletion.at) > endingMarginMs;
}

/**
 * How a pod ends that was told to: within its time, or stuck.
 * @param nodeReady whether its kubelet answers, which matters only for one that {@link isOverdue}.
 */
export function endingOf(
  pod: PodFacts,
  nodeReady: boolean,
  now: number
): { kind: 'ends' | 'stuck'; reason: string } | undefined {
  if (pod.deletion === undefined) return undefined;
  if (!isOverdue(pod, now)) return { kind: 'ends', reason: `it ends, by ${pod.deletion.at}` };
  const over = `it should have ended at ${pod.deletion.at} and is still there`;
  if (pod.finalizers.length > 0) {
    return { kind: 'stuck', reason: `${over}: finalizers ${pod.finalizers.join(', ')} hold it` };
  }
  const why = nodeReady ? 'look at its containers and volumes on the node' : 'its node is not Ready';
  return { kind: 'stuck', reason: `${over}: ${why}` };
}

/** Whether consent that was given, for all pods or for some, is about this one. */
export function consents(consent: boolean | readonly string[], pod: PodFacts): boolean {
  if (typeof consent === 'boolean') return consent;
  return consent.some((pattern) =>
    pattern.endsWith('*') ? pod.key.startsWith(pattern.slice(0, -1)) : pod.key === pattern
  );
}
