import { flipLabel } from '../../model/names.ts';
import type { Network } from '../../model/network.ts';
import { computeBucket, differingBuckets, computeDigest } from '../../model/node-digest.ts';
import { byName, groupNodes, type NodeFacts, type NodesSeen } from '../../model/nodes.ts';
import { requireApproval } from '../kubernetes/approvals.ts';
import { isReady } from '../kubernetes/conditions.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { bootAnnotation, cordonedAnnotation } from '../kubernetes/names.ts';
import { listNodeReadiness, type NodeReadiness } from '../kubernetes/node-readiness.ts';
import { listNodes, patchNode, readNode, type NodeTarget } from '../kubernetes/nodes.ts';
import { listPods } from '../kubernetes/pods.ts';
import { failure } from '../support/failures.ts';
import { mapLimit } from '../support/map-limit.ts';
import { notYet } from '../support/not-yet.ts';
import { isOnSource } from './source-pods.ts';

/** Input of `observeNodes`. */
export interface NodesTarget {
  cluster: string;
  targetPodCidr: string;
  /**
   * Digest of the nodes that the caller knows (model/node-digest.ts): only differences are returned.
   * @default all nodes are returned
   */
  known?: string;
  /**
   * The flipped nodes whose pods are read; the others have none on the source network.
   * @default all
   */
  pods?: string[];
}

/** Input of `cordonNode`. */
export interface CordonTarget extends NodeTarget {
  /**
   * Network to which the node is migrated or rolled back.
   * @default canal
   */
  to?: Network;
}

/** Input of `waitForReboot`. */
export interface RebootTarget extends NodeTarget {
  /** Time at which the wait ends (Unix ms). */
  deadlineMs: number;
}

/** Maximum number of nodes whose pods are read in parallel. */
const maxParallelNodes = 10;

/** Interval between two checks of the nodes while nothing else is in progress, in ms. */
const watchIntervalMs = 10_000;

/** Interval between two checks of a node that is expected to reboot, in ms. */
const rebootIntervalMs = 2_000;

/**
 * Creates the activities on nodes.
 * @param workerNode node that this worker runs on, when it runs in the cluster.
 */
export function createNodeActivities(onCluster: OnCluster, workerNode?: string) {
  return {
    /** Reads the migration state of each node. */
    observeNodes: onCluster(
      'observe the nodes',
      async (connection, { targetPodCidr, known, pods }: NodesTarget): Promise<NodesSeen> => {
        const nodes = await readNodeFacts(connection, targetPodCidr, workerNode, pods);
        if (known === undefined) return { groups: groupNodes(nodes) };
        const buckets = differingBuckets(known, computeDigest(nodes));
        return { groups: groupNodes(nodes.filter(({ name }) => buckets.includes(computeBucket(name)))), buckets };
      }
    ),

    /**
     * Reads the migration state of one node.
     * @throws NodeNotReady when it does not exist.
     */
    observeNode: onCluster(
      'observe the node',
      async (connection, { node }: NodeTarget): Promise<{ flipped: boolean }> => {
        const { metadata } = await readNode(connection, node);
        return { flipped: metadata?.labels?.[flipLabel] === 'true' };
      }
    ),

    /** Returns the names of all nodes. */
    nodeNames: onCluster('list the nodes', async (connection): Promise<string[]> => {
      const items = await listNodes(connection);
      return items.map(({ metadata }) => metadata?.name ?? '').sort();
    }),

    /**
     * Checks whether a node has joined or left the cluster, or has changed its readiness.
     * @throws NotYet until one has; Temporal repeats the activity.
     */
    waitForNodeChange: onCluster(
      'watch the nodes',
      async (connection, { known }: { cluster: string; known: NodeReadiness[] }): Promise<void> =>
        checkForChange(connection, known)
    ),

    /**
     * Cordons a node and records that this service did. A node that is already cordoned stays unchanged, and stays
     * cordoned after its migration.
     * @throws ApprovalMissing, ApprovalsUnverifiable for a migration to Cilium that is not approved as configured.
     */
    cordonNode: onCluster('cordon the node', async (connection, { node, to }: CordonTarget): Promise<void> => {
      if (to === 'cilium') await requireApproval(connection, `node/${node}`);
      const nodeObject = await readNode(connection, node);
      if (nodeObject.spec?.unschedulable === true) return;
      await patchNode(connection, node, {
        metadata: { annotations: { [cordonedAnnotation]: 'true' } },
        spec: { unschedulable: true },
      });
    }),

    /**
     * Uncordons a node that {@link cordonNode} cordoned. Any other node stays unchanged; a node that no longer exists
     * is ignored.
     */
    uncordonNode: onCluster('uncordon the node', async (connection, { node }: NodeTarget): Promise<void> => {
      const nodeObject = await ifFound(connection.core.readNode({ name: node }));
      if (nodeObject?.metadata?.annotations?.[cordonedAnnotation] === undefined) return;
      await patchNode(connection, node, {
        metadata: { annotations: { [cordonedAnnotation]: null } },
        spec: { unschedulable: null },
      });
    }),

    /**
     * Checks that a node is Ready, with another boot ID than at its flip.
     * @throws NotYet until it is; Temporal repeats the activity.
     * @throws RebootMissing after the deadline.
     */
    waitForReboot: onCluster(
      'wait for the reboot',
      async (connection, { node, deadlineMs }: RebootTarget): Promise<void> => checkBoot(connection, node, deadlineMs)
    ),
  };
}

async function checkForChange(connection: ClusterConnection, known: readonly NodeReadiness[]): Promise<void> {
  const now = readinessKey(await listNodeReadiness(connection));
  if (now === readinessKey(known)) throw notYet('a node to join, to leave or to change its readiness', watchIntervalMs);
}

async function checkBoot(connection: ClusterConnection, node: string, deadlineMs: number): Promise<void> {
  const nodeObject = await readNode(connection, node);
  const before = nodeObject.metadata?.annotations?.[bootAnnotation];
  const isRebooted = nodeObject.status?.nodeInfo?.bootID !== before;
  if (isRebooted && isReady(nodeObject)) return;
  const waitingFor = isRebooted ? `${node} to be Ready after its reboot` : `the reboot of ${node}`;
  if (Date.now() < deadlineMs) throw notYet(waitingFor, rebootIntervalMs);
  const when = new Date(deadlineMs).toISOString();
  throw failure('RebootMissing', `timed out at ${when}, waiting for ${waitingFor}; reboot it, then retry the node`);
}

/** Reads the migration state of each node, ordered by name. */
async function readNodeFacts(
  connection: ClusterConnection,
  targetPodCidr: string,
  workerNode: string | undefined,
  pods: readonly string[] | undefined
): Promise<NodeFacts[]> {
  const items = await listNodes(connection);
  const flipped = items.flatMap(({ metadata }) =>
    metadata?.labels?.[flipLabel] === 'true' && pods?.includes(metadata.name ?? '') !== false
      ? [metadata.name ?? '']
      : []
  );
  const onSource = await countOnSource(connection, flipped, targetPodCidr, pods === undefined);
  return items
    .map((item) => {
      const { name = '', labels = {}, annotations = {} } = item.metadata ?? {};
      return {
        name,
        controlPlane: labels['node-role.kubernetes.io/control-plane'] !== undefined,
        ready: isReady(item),
        hostsWorker: name === workerNode,
        flipped: labels[flipLabel] === 'true',
        cordonedByUs: annotations[cordonedAnnotation] !== undefined,
        podsOnSource: onSource.get(name) ?? 0,
      };
    })
    .sort(byName);
}

/**
 * Counts the pods on the source network of some nodes.
 * @param many true when the nodes may be most of the cluster's.
 */
async function countOnSource(
  connection: ClusterConnection,
  nodes: readonly string[],
  targetPodCidr: string,
  many: boolean
): Promise<Map<string, number>> {
  const nodeSet = new Set(nodes);
  if (nodeSet.size === 0) return new Map();
  const pods = many
    ? await listPods(connection)
    : (await mapLimit(maxParallelNodes, nodes, (node) => listPods(connection, { node }))).flat();
  const counts = new Map<string, number>();
  for (const pod of pods) {
    if (nodeSet.has(pod.node) && isOnSource(pod, targetPodCidr)) counts.set(pod.node, (counts.get(pod.node) ?? 0) + 1);
  }
  return counts;
}

function readinessKey(nodes: readonly NodeReadiness[]): string {
  return nodes
    .map(({ name, ready }) => `${name} ${ready}`)
    .sort()
    .join('\n');
}
