import type { V1Node, V1OwnerReference, V1Pod } from '@kubernetes/client-node';
import { mapLimit } from '../support/map-limit.ts';
import { isSilent } from './conditions.ts';
import type { ClusterConnection } from './connection.ts';
import { httpStatus, ifFound } from './errors.ts';
import { helperNamespace, isOurs } from './names.ts';
import { listNodes } from './nodes.ts';
import { allPages } from './pagination.ts';
import type { PodFacts } from './pods.ts';

/** Time in ms after the end of its grace period for which a pod is left to its kubelet. */
const kubeletTimeMs = 10_000;

/** API group of the kinds of Kubernetes that own pods here. */
const appsApi = 'apps/';

/** Maximum number of requests in parallel. */
const maxParallelRequests = 10;

/**
 * Removes lost pods of workloads that we removed from the API: pods that are terminating on a node whose kubelet has been
 * silent for a minute. Only a kubelet ends the termination of a pod, so that they would stay until their node is back, and
 * with them their namespace and their DaemonSet. When the kubelet is back, it ends the containers of pods that the API does
 * not know.
 *
 * Never removes a pod of anything else: its controller has to be one of the DaemonSets, by name and UID, whose deletion is
 * requested or complete. In our own namespace, also our pods without a controller, and those of our Deployments that
 * do not exist any more.
 * @param workloads namespace, and names of the removed DaemonSets.
 * @returns the names of the removed pods.
 */
export async function removeLostPods(
  connection: ClusterConnection,
  workloads: { namespace: string; daemonSets: readonly string[] }
): Promise<string[]> {
  const { core } = connection;
  const { namespace } = workloads;
  const pods = await allPages((page) => core.listNamespacedPod({ namespace, ...page }));
  const overdue = pods.filter((pod) => isOverdue(pod));
  if (overdue.length === 0) return [];
  const nodes = await readNodes(
    connection,
    overdue.flatMap(({ spec }) => spec?.nodeName ?? [])
  );
  const lost = overdue.filter((pod) => isLost(pod, nodes.get(pod.spec?.nodeName ?? '')));
  const removed = await mapLimit(maxParallelRequests, lost, async (pod) =>
    (await isOfRemoved(connection, pod, workloads)) && (await removePod(connection, pod)) ? [nameOf(pod)] : []
  );
  return removed.flat().sort();
}

/** Returns the pods without those that are terminating on a node whose kubelet has been silent for a minute. */
export async function withoutLost(connection: ClusterConnection, pods: readonly PodFacts[]): Promise<PodFacts[]> {
  const overdue = pods.filter(({ deletion }) => isPast(deletion?.at));
  if (overdue.length === 0) return [...pods];
  const nodes = await readNodes(
    connection,
    overdue.flatMap(({ node }) => (node === '' ? [] : [node]))
  );
  const lost = new Set(
    overdue.filter((pod) => {
      const node = nodes.get(pod.node);
      return node !== undefined && isSilent(node);
    })
  );
  return pods.filter((pod) => !lost.has(pod));
}

/** Number of nodes above which all nodes are read as a list. */
const maxSingleReads = 20;

async function readNodes(connection: ClusterConnection, names: readonly string[]): Promise<Map<string, V1Node>> {
  const wanted = [...new Set(names)];
  const read = (name: string) => ifFound(connection.core.readNode({ name }));
  const nodes =
    wanted.length > maxSingleReads ? await listNodes(connection) : await mapLimit(maxParallelRequests, wanted, read);
  return new Map(nodes.flatMap((node) => (node === undefined ? [] : [[node.metadata?.name ?? '', node]])));
}

const nameOf = ({ metadata }: V1Pod): string => metadata?.name ?? '';

/** Returns true for a pod that should have ended. */
function isOverdue({ metadata }: V1Pod, nowMs?: number): boolean {
  return isPast(metadata?.deletionTimestamp, nowMs);
}

/** Returns true some seconds after the end of a grace period; false without one. */
function isPast(deletion: Date | string | undefined, nowMs = Date.now()): boolean {
  return deletion !== undefined && nowMs - new Date(deletion).getTime() >= kubeletTimeMs;
}

/**
 * Returns true for a terminating pod whose kubelet cannot end it. The pods of a node that has left the cluster are removed by
 * Kubernetes itself.
 * @param nowMs in ms since the epoch.
 */
export function isLost(pod: V1Pod, node: V1Node | undefined, nowMs = Date.now()): boolean {
  return (
    node !== undefined && node.metadata?.name === pod.spec?.nodeName && isOverdue(pod, nowMs) && isSilent(node, nowMs)
  );
}

async function isOfRemoved(
  connection: ClusterConnection,
  pod: V1Pod,
  { namespace, daemonSets }: { namespace: string; daemonSets: readonly string[] }
): Promise<boolean> {
  const owner = controllerOf(pod);
  if (owner?.kind === 'DaemonSet')
    return daemonSets.includes(owner.name) && isDaemonSetRemoved(connection, namespace, owner);
  return namespace === helperNamespace && isOurs(pod) && isOwnRemoved(connection, pod, owner);
}

async function isDaemonSetRemoved(
  { apps }: ClusterConnection,
  namespace: string,
  { apiVersion, name, uid }: V1OwnerReference
): Promise<boolean> {
  if (!apiVersion.startsWith(appsApi)) return false;
  return isRemoved(uid, await ifFound(apps.readNamespacedDaemonSet({ name, namespace })));
}

/** Returns true for one of our pods without a controller, or whose Deployment does not exist any more. */
async function isOwnRemoved(
  { apps }: ClusterConnection,
  { metadata }: V1Pod,
  owner: V1OwnerReference | undefined
): Promise<boolean> {
  if (owner === undefined) return (metadata?.ownerReferences ?? []).length === 0;
  // The worker may not read ReplicaSets. Our Deployments have the name of their pods' label.
  const name = metadata?.labels?.['app'];
  if (owner.kind !== 'ReplicaSet' || !owner.apiVersion.startsWith(appsApi) || name === undefined) return false;
  return (await ifFound(apps.readNamespacedDeployment({ name, namespace: helperNamespace }))) === undefined;
}

/**
 * Returns true when the owner with this UID is being deleted or does not exist any more.
 * @param current object that has the owner's name now; undefined without one.
 */
export function isRemoved(
  uid: string,
  current: { metadata?: { uid?: string; deletionTimestamp?: Date } } | undefined
): boolean {
  return current?.metadata?.uid !== uid || current.metadata.deletionTimestamp !== undefined;
}

function controllerOf({ metadata }: V1Pod): V1OwnerReference | undefined {
  return metadata?.ownerReferences?.find(({ controller }) => controller === true);
}

/** Removes exactly this pod, and no successor of the same name. @returns false when it is already gone. */
async function removePod({ core }: ClusterConnection, { metadata }: V1Pod): Promise<boolean> {
  const { name = '', namespace = '', uid = '' } = metadata ?? {};
  const body = { gracePeriodSeconds: 0, preconditions: { uid } };
  try {
    return (await ifFound(core.deleteNamespacedPod({ name, namespace, body }))) !== undefined;
  } catch (error) {
    if (httpStatus(error) === 409) return false;
    throw error;
  }
}
