import type { V1Node } from '@kubernetes/client-node';

/** A condition of an object's status. */
interface Condition {
  type: string;
  status: string;
}

/** True when the object, a node or a pod, has the condition Ready. */
export function isReady({ status }: { status?: { conditions?: Condition[] } }): boolean {
  return status?.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True') === true;
}

/**
 * Time in ms for which a node has to be not Ready before a wait continues without it: a kubelet that restarts, or an
 * agent that is replaced, recovers sooner.
 */
const awayAfterMs = 60_000;

/**
 * Returns true when a node has not been Ready for a minute, so that waits continue without it.
 * @param nowMs in ms since the epoch.
 */
export function isAway(node: V1Node, nowMs = Date.now()): boolean {
  return !isReady(node) && nowMs - readinessSinceMs(node) >= awayAfterMs;
}

/**
 * Returns true when the kubelet of a node has not reported for a minute. Pods can still start on a node whose kubelet
 * reports that it is not Ready, for example because it has no CNI file.
 * @param nowMs in ms since the epoch.
 */
export function isSilent(node: V1Node, nowMs = Date.now()): boolean {
  const ready = readyCondition(node);
  return (ready === undefined || ready.status === 'Unknown') && nowMs - readinessSinceMs(node) >= awayAfterMs;
}

function readyCondition({ status }: V1Node) {
  return status?.conditions?.find(({ type }) => type === 'Ready');
}

/**
 * Returns the time since when a node has its readiness, in ms since the epoch; 0 when the API does not report it. A
 * kubelet that never reported has its readiness since the node's creation.
 */
function readinessSinceMs(node: V1Node): number {
  const since = readyCondition(node)?.lastTransitionTime ?? node.metadata?.creationTimestamp;
  return since === undefined ? 0 : new Date(since).getTime();
}
