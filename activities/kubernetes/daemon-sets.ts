import type { V1ControllerRevision, V1DaemonSet, V1Node, V1Pod } from '@kubernetes/client-node';
import { summarizeList } from '../../model/summarize.ts';
import { isAway, isReady } from './conditions.ts';
import type { ClusterConnection } from './connection.ts';
import { listNodes } from './nodes.ts';
import { allPages } from './pagination.ts';

/** State of a DaemonSet's rollout. */
export interface Rollout {
  /** True when every node that is not left out runs the current template. */
  complete: boolean;
  /** Names of the nodes whose pod is missing, outdated or not Ready. */
  waiting: string[];
  /** Names of the nodes that are left out because they are not Ready, and do not run the current template. */
  leftOut: string[];
}

/** A pod of a DaemonSet. */
export interface DaemonPod {
  /** Node that it runs on, or is meant for. */
  node: string;
  /** True when it has the current template and is Ready. */
  current: boolean;
}

/** Options of {@link readRollout}. */
interface RolloutOptions {
  /**
   * Returns all nodes.
   * @default reads them
   */
  nodes?: () => Promise<readonly V1Node[]>;
  /**
   * Selects the nodes that are left out.
   * @default those that have not been Ready for a minute
   */
  isLeftOut?: (node: V1Node) => boolean;
}

/** Maximum number of pods for which a rollout is read every second. */
const smallRollout = 100;

/** Interval between two reads of a large rollout, in ms. */
const largeRolloutMs = 5_000;

/** Returns true when every desired pod of the DaemonSet has the current template and is available. */
export function isRolledOut(daemonSet: V1DaemonSet): boolean {
  const { status } = daemonSet;
  if (status === undefined || !isObserved(daemonSet)) return false;
  const desired = status.desiredNumberScheduled;
  return desired > 0 && (status.updatedNumberScheduled ?? 0) === desired && (status.numberAvailable ?? 0) === desired;
}

/**
 * Reads the state of a DaemonSet's rollout, node by node. Its controller also counts nodes that are not Ready as desired
 * (k8s.io/kubernetes pkg/controller/daemon), so its numbers alone never become complete while one node is away.
 */
export async function readRollout(
  connection: ClusterConnection,
  daemonSet: V1DaemonSet,
  { nodes = () => listNodes(connection), isLeftOut = (node) => isAway(node) }: RolloutOptions = {}
): Promise<Rollout> {
  if (isRolledOut(daemonSet)) return { complete: true, waiting: [], leftOut: [] };
  const incomplete = { complete: false, waiting: [], leftOut: [] };
  if (!isObserved(daemonSet)) return incomplete;
  const presence = (await nodes()).map((node) => ({ name: node.metadata?.name ?? '', leftOut: isLeftOut(node) }));
  // The pods need not be read: the numbers already show that a node is missing.
  if (!presence.some(({ leftOut }) => leftOut)) return incomplete;
  const pods = await listDaemonPods(connection, daemonSet);
  return evaluateRollout(daemonSet.status?.desiredNumberScheduled ?? 0, pods, presence);
}

/**
 * Evaluates a rollout from its pods. It is never complete when all of its nodes are left out.
 * @param desired number of nodes that should run a pod.
 */
export function evaluateRollout(
  desired: number,
  pods: readonly DaemonPod[],
  nodes: readonly { name: string; leftOut: boolean }[]
): Rollout {
  const assigned = new Set(pods.map(({ node }) => node));
  const current = new Set(pods.filter((pod) => pod.current).map(({ node }) => node));
  const behind = nodes.filter(({ name }) => assigned.has(name) && !current.has(name));
  const waiting = behind.filter(({ leftOut }) => !leftOut).map(({ name }) => name);
  const leftOut = behind.filter((node) => node.leftOut).map(({ name }) => name);
  const complete = waiting.length === 0 && current.size > 0 && current.size + leftOut.length >= desired;
  return { complete, waiting: waiting.sort(), leftOut: leftOut.sort() };
}

/** Returns the interval until the next read of a rollout, in ms: a large one reads many nodes and pods. */
export function rolloutPollMs({ status }: V1DaemonSet): number {
  return (status?.desiredNumberScheduled ?? 0) > smallRollout ? largeRolloutMs : 1_000;
}

/** Describes the progress of a DaemonSet, for a wait. */
export function describeRollout({ metadata, status }: V1DaemonSet, { waiting, leftOut }: Rollout): string {
  const { numberAvailable = 0, desiredNumberScheduled = 0 } = status ?? {};
  const counts = `${numberAvailable} of ${desiredNumberScheduled} available`;
  const names = (title: string, nodes: readonly string[]): string =>
    nodes.length === 0 ? '' : `; ${title}: ${summarizeList(nodes)}`;
  return `DaemonSet ${metadata?.namespace}/${metadata?.name} (${counts}${names('missing on', waiting)}${names('left out, not Ready', leftOut)})`;
}

function isObserved({ metadata, status }: V1DaemonSet): boolean {
  return (status?.observedGeneration ?? 0) >= (metadata?.generation ?? 0);
}

async function listDaemonPods({ core, apps }: ClusterConnection, daemonSet: V1DaemonSet): Promise<DaemonPod[]> {
  const { namespace = '' } = daemonSet.metadata ?? {};
  const labelSelector = formatLabels(daemonSet);
  const revisions = await apps.listNamespacedControllerRevision({ namespace, labelSelector });
  const revision = currentRevision(daemonSet, revisions.items);
  return allPages(async (page) => {
    const list = await core.listNamespacedPod({ namespace, labelSelector, ...page });
    // Each page is reduced at once: a complete pod is ten times as large.
    return {
      ...list,
      items: list.items.filter((pod) => isOwned(pod, daemonSet)).map((pod) => daemonPod(pod, revision)),
    };
  });
}

/**
 * Returns the hash of the DaemonSet's newest revision, as its pods carry it; undefined until the controller has created
 * it.
 */
export function currentRevision(
  daemonSet: V1DaemonSet,
  revisions: readonly V1ControllerRevision[]
): string | undefined {
  const [newest] = revisions.filter((revision) => isOwned(revision, daemonSet)).sort((a, b) => b.revision - a.revision);
  return newest?.metadata?.labels?.['controller-revision-hash'];
}

function isOwned({ metadata }: Pick<V1Pod, 'metadata'>, daemonSet: V1DaemonSet): boolean {
  return metadata?.ownerReferences?.some(({ uid }) => uid === daemonSet.metadata?.uid) === true;
}

function daemonPod(pod: V1Pod, revision: string | undefined): DaemonPod {
  const { labels, deletionTimestamp } = pod.metadata ?? {};
  const updated = revision !== undefined && labels?.['controller-revision-hash'] === revision;
  return { node: targetNode(pod), current: updated && deletionTimestamp === undefined && isReady(pod) };
}

/** Returns the node of a DaemonSet's pod. Before it is scheduled, its affinity names the node. */
function targetNode({ spec }: V1Pod): string {
  if (spec?.nodeName !== undefined) return spec.nodeName;
  const terms = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  const fields = terms.flatMap(({ matchFields = [] }) => matchFields);
  return fields.find(({ key }) => key === 'metadata.name')?.values?.[0] ?? '';
}

function formatLabels({ spec }: V1DaemonSet): string {
  return Object.entries(spec?.selector.matchLabels ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .join();
}
