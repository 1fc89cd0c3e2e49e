import { Context } from '@temporalio/activity';
import type { DrainOptions } from '../../workflows/model/input.ts';
import { failure } from '../failures.ts';
import { poll, type Look } from '../poll.ts';
import type { ClusterConnection, Clusters } from './connection.ts';
import { drainVerdict, needsRecycling } from './drain-rules.ts';
import { messageOf, statusBody, statusOf, withFailures } from './errors.ts';
import type { NodeTarget } from './nodes.ts';
import { podsOnNode, type PodFacts } from './pods.ts';

/** Input of the drain activities. */
export interface DrainTarget extends NodeTarget {
  options: DrainOptions;
  targetPodCidr: string;
}

/** Between two rounds over a node's pods, in ms. */
const roundMs = 1_000;

/** A refused eviction is tried again after this long, in ms; a PodDisruptionBudget does not change faster. */
const refusedEvictionMs = 3_000;

/** The activities that empty a node, by the eviction API alone. */
export function createDrainActivities(clusters: Clusters) {
  return {
    /**
     * Evicts every pod that has to move, and waits until they are gone.
     * @throws DrainBlocked when a pod needs a consent that was not given, or when the node is not empty in time.
     */
    drainNode: withFailures('drain the node', async (target: DrainTarget): Promise<void> => {
      await evictUntilGone(await clusters.connect(target.cluster), target, (pods) => {
        const decided = pods.map((pod) => ({ pod, verdict: drainVerdict(pod, target.options, target.targetPodCidr) }));
        const refused = decided.flatMap(({ pod, verdict }) =>
          verdict.action === 'refuse' ? [`${pod.key}: ${verdict.reason}`] : []
        );
        if (refused.length > 0)
          throw failure('DrainBlocked', `pods that must not be evicted without consent:\n${refused.join('\n')}`);
        return decided.flatMap(({ pod, verdict }) => (verdict.action === 'evict' ? [pod] : []));
      });
    }),

    /** Evicts the DaemonSet pods that a drain leaves, so that their controller makes them anew on the target network. */
    recyclePods: withFailures("recycle the node's pods", async (target: DrainTarget): Promise<void> => {
      await evictUntilGone(await clusters.connect(target.cluster), target, (pods) =>
        pods.filter((pod) => needsRecycling(pod, target.targetPodCidr))
      );
    }),
  };
}

async function evictUntilGone(
  connection: ClusterConnection,
  { node, options }: DrainTarget,
  select: (pods: PodFacts[]) => PodFacts[]
): Promise<void> {
  const refusals = new Map<string, { at: number; reason: string }>();
  const look = async (): Promise<Look<void>> => {
    const remaining = select(await podsOnNode(connection, node));
    if (remaining.length === 0) return { done: undefined };
    for (const pod of remaining.filter((one) => one.deletion === undefined)) {
      const refusal = refusals.get(pod.uid);
      if (refusal !== undefined && Date.now() - refusal.at < refusedEvictionMs) continue;
      const reason = await evict(connection, pod);
      if (reason === undefined) refusals.delete(pod.uid);
      else refusals.set(pod.uid, { at: Date.now(), reason });
      Context.current().heartbeat({ waitingFor: `${remaining.length} pods to leave ${node}` });
    }
    const reasons = remaining.map((pod) => `pod ${pod.key}: ${refusals.get(pod.uid)?.reason ?? 'ends'}`);
    return { waitingFor: `${remaining.length} pods to leave ${node}\n${reasons.slice(0, 20).join('\n')}` };
  };
  await poll(look, {
    timeoutMs: options.timeoutSeconds * 1_000,
    everyMs: roundMs,
    onTimeout: 'DrainBlocked',
    advice: 'make room or ease the budget, then start the migration again',
  });
}

/** Asks for the eviction of that very pod. @returns why it was refused; undefined when it goes or is gone. */
async function evict({ core }: ClusterConnection, pod: PodFacts): Promise<string | undefined> {
  const { name, namespace, uid } = pod;
  try {
    await core.createNamespacedPodEviction({
      name,
      namespace,
      body: {
        apiVersion: 'policy/v1',
        kind: 'Eviction',
        metadata: { name, namespace },
        // Another pod of that name, as a StatefulSet makes, is not the one that was looked at.
        deleteOptions: { preconditions: { uid } },
      },
    });
    return undefined;
  } catch (error) {
    const status = statusOf(error);
    if (status === 404 || status === 409) return undefined;
    const causes = statusBody(error)?.details?.causes ?? [];
    if (status === 429) {
      return (
        causes
          .map((cause) => cause.message)
          .filter(Boolean)
          .join(' ') || messageOf(error)
      );
    }
    if (status === 403 && causes.some((cause) => cause.reason === 'NamespaceTerminating'))
      return 'its namespace is being deleted';
    // Several budgets select one pod: no eviction will ever be granted (k8s.io/kubernetes pkg/registry/core/pod/storage/eviction.go).
    if (status === 500) return `the API server cannot judge its disruption budgets: ${messageOf(error)}`;
    throw error;
  }
}
