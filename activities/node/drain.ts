import type { V1PodDisruptionBudget } from '@kubernetes/client-node';
import { Context } from '@temporalio/activity';
import type { Blocker } from '../../model/status.ts';
import { mapLimit } from '../support/map-limit.ts';
import { failure } from '../support/failures.ts';
import { heartbeat } from '../support/heartbeat.ts';
import { requireApproval } from '../kubernetes/approvals.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { budgetText, findBudgets } from '../kubernetes/disruption-budgets.ts';
import { drainVerdict, describeTermination, isOverdue, type DrainRules } from './drain-rules.ts';
import { responseHeader, ifFound, errorMessage, statusBody, httpStatus } from '../kubernetes/errors.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import type { NodeTarget } from '../kubernetes/nodes.ts';
import { allPages } from '../kubernetes/pagination.ts';
import { listPods, type PodFacts } from '../kubernetes/pods.ts';
import { isReady } from '../kubernetes/conditions.ts';
import type { DrainRound } from '../../model/drain-round.ts';

/** Input of `drainNode`. */
export interface DrainTarget extends NodeTarget, DrainRules {
  /** Maximum duration of one round, in seconds. */
  roundSeconds: number;
}

/**
 * Minimum interval between two polls of a node's pods, in ms. A poll that takes longer extends the interval to its
 * duration.
 */
const pollIntervalMs = 1_000;

/** Maximum interval between two polls, in ms. */
const maxPollIntervalMs = 10_000;

/** Maximum number of parallel evictions on a node. */
const maxParallelEvictions = 4;

/** Delay before a refused eviction is retried, in ms, unless the API server returns one. */
const refusedEvictionMs = 3_000;

/** Maximum number of pods that are named. */
const maxNamed = 50;

type Refusal = Pick<Blocker, 'kind' | 'reason'> & { retryAtMs: number };

/**
 * Creates the activity that drains a node through the eviction API. It deletes a pod only when an operator named it.
 */
export function createDrainActivities(onCluster: OnCluster) {
  return {
    /**
     * Runs one round of moving a node's pods to the right network: evicts the pods that may be evicted, waits for the
     * terminating ones, and returns when none is left or the round is over.
     * @throws DrainBlocked, before any eviction, when a pod requires a consent that was not given.
     * @throws ApprovalMissing, ApprovalsUnverifiable when the migration of the node is not approved as configured.
     */
    drainNode: onCluster('drain the node', async (connection, target: DrainTarget): Promise<DrainRound> => {
      if (target.to === 'cilium') await requireApproval(connection, `node/${target.node}`);
      const end = Date.now() + target.roundSeconds * 1_000;
      const refusals = new Map<string, Refusal>();
      // The first poll, and the result that nothing is left, must be up to date; polls between them may be slightly
      // stale.
      for (let cached = false; ; cached = true) {
        const startedMs = Date.now();
        let remaining = await pollPods(connection, target, refusals, cached);
        if (remaining.length === 0 && cached) remaining = await pollPods(connection, target, refusals, false);
        if (remaining.length === 0 || Date.now() >= end) return { left: remaining.slice(0, maxNamed) };
        const names = remaining.slice(0, 10).map(({ pod, reason }) => `${pod}: ${reason}`);
        heartbeat({ waitingFor: `${remaining.length} pods to leave ${target.node}\n${names.join('\n')}` });
        await Context.current().sleep(Math.min(maxPollIntervalMs, Math.max(pollIntervalMs, Date.now() - startedMs)));
      }
    }),
  };
}

/**
 * Checks every pod once, and requests the evictions that are due.
 * @returns the pods that are still there.
 */
async function pollPods(
  connection: ClusterConnection,
  target: DrainTarget,
  refusals: Map<string, Refusal>,
  cached: boolean
): Promise<Blocker[]> {
  const now = Date.now();
  const decided = (await listPods(connection, { node: target.node, cached })).map((pod) => ({
    pod,
    verdict: drainVerdict(pod, target, now),
  }));
  const refused = decided.flatMap(({ pod, verdict }) =>
    verdict.action === 'refuse' ? [`${pod.key}: ${verdict.reason}, or send forcePod`] : []
  );
  if (refused.length > 0)
    throw failure('DrainBlocked', `these pods are evicted only with a consent:\n${refused.join('\n')}`);

  let nodeReady: Promise<boolean> | undefined;
  const ready = () => (nodeReady ??= connection.core.readNode({ name: target.node }).then(isReady));
  const remaining = await mapLimit(
    maxParallelEvictions,
    decided,
    async ({ pod, verdict }): Promise<Blocker | undefined> => {
      const blocked = (details: Omit<Blocker, 'pod'>): Blocker => ({ pod: pod.key, ...details });
      if (verdict.action === 'leave' || verdict.action === 'refuse') return undefined;
      if (verdict.action === 'wait') return blocked({ kind: 'Waiting', reason: 'it has no address yet' });
      if (pod.deletion !== undefined) {
        const termination = describeTermination(pod, !isOverdue(pod, now) || (await ready()), now);
        return termination && blocked(termination);
      }
      const before = refusals.get(pod.uid);
      const refusal =
        before !== undefined && now < before.retryAtMs ? before : await evictOrDelete(connection, pod, verdict.action);
      if (refusal === undefined) refusals.delete(pod.uid);
      else refusals.set(pod.uid, refusal);
      return blocked(
        refusal === undefined
          ? { kind: 'Terminating', reason: 'it is terminating' }
          : { kind: refusal.kind, reason: refusal.reason }
      );
    }
  );
  return remaining.filter((blocker) => blocker !== undefined);
}

/**
 * Requests the eviction of exactly this pod, by UID: a StatefulSet, for example, may have recreated it under the same
 * name.
 */
export async function requestEviction({ core }: ClusterConnection, pod: PodFacts, dryRun = false): Promise<void> {
  const { name, namespace, uid } = pod;
  await core.createNamespacedPodEviction({
    name,
    namespace,
    ...(dryRun && { dryRun: 'All' }),
    body: {
      apiVersion: 'policy/v1',
      kind: 'Eviction',
      metadata: { name, namespace },
      deleteOptions: { preconditions: { uid }, ...(dryRun && { dryRun: ['All'] }) },
    },
  });
}

/**
 * Requests the eviction or deletion of exactly this pod, by UID.
 * @returns the refusal; undefined when the pod is terminating or gone.
 */
async function evictOrDelete(
  connection: ClusterConnection,
  pod: PodFacts,
  action: 'evict' | 'delete'
): Promise<Refusal | undefined> {
  const { core } = connection;
  const { name, namespace, uid } = pod;
  try {
    if (action === 'delete') {
      // The pod's own grace period applies, as in an eviction.
      await core.deleteNamespacedPod({ name, namespace, body: { preconditions: { uid } } });
      return undefined;
    }
    await requestEviction(connection, pod);
    return undefined;
  } catch (error) {
    const outcome = parseRefusal(error, pod.namespace, await listBudgetsFor(connection, pod, error), Date.now());
    if (outcome === 'unknown') throw error;
    return outcome === 'gone' ? undefined : outcome;
  }
}

/**
 * Interprets the API server's response to an eviction: the pod is gone, or the eviction is refused until later;
 * `unknown` for a response that is not about the pod.
 * @param budgets those that select the pod.
 * @param now in ms since the epoch.
 */
export function parseRefusal(
  error: unknown,
  namespace: string,
  budgets: readonly V1PodDisruptionBudget[],
  now: number
): Refusal | 'gone' | 'unknown' {
  const status = httpStatus(error);
  if (status === 404 || status === 409) return 'gone';
  const retryAtMs = now + parseRetryAfterMs(error);
  const causes = parseCauses(error);
  if (status === 403 && causes.some((cause) => cause.reason === 'NamespaceTerminating')) {
    return { kind: 'Waiting', reason: 'its namespace is being deleted', retryAtMs };
  }
  if (status === 429 && causes.some((cause) => cause.reason === 'DisruptionBudget')) {
    const messages = causes.flatMap(({ message }) => (message === undefined ? [] : [message])).join(' ');
    return { kind: 'DisruptionBudget', reason: budgets.map(budgetText).join('; ') || messages, retryAtMs };
  }
  // A permission or an admission webhook: an operator can change it while the drain continues.
  if (status === 403) return { kind: 'Waiting', reason: `its eviction is refused: ${errorMessage(error)}`, retryAtMs };
  // The API server is overloaded.
  if (status === 429) return { kind: 'Waiting', reason: errorMessage(error), retryAtMs };
  // Such an eviction is never granted (k8s.io/kubernetes pkg/registry/core/pod/storage/eviction.go).
  if (status === 500 && budgets.length > 1) {
    const names = budgets.map(({ metadata }) => `${namespace}/${metadata?.name}`).join(' and ');
    const reason = `PodDisruptionBudgets ${names} both select it, so that every eviction is refused: change one of them`;
    return { kind: 'DisruptionBudget', reason, retryAtMs };
  }
  return 'unknown';
}

function parseCauses(error: unknown): readonly { reason?: string; message?: string }[] {
  return statusBody(error)?.details?.causes ?? [];
}

/** Returns the budgets that select a pod, when the error may be caused by them. */
async function listBudgetsFor(
  { policy }: ClusterConnection,
  pod: PodFacts,
  error: unknown
): Promise<V1PodDisruptionBudget[]> {
  const status = httpStatus(error);
  if (status !== 429 && status !== 500) return [];
  const { namespace } = pod;
  const budgets = await allPages((page) => ifFound(policy.listNamespacedPodDisruptionBudget({ namespace, ...page })));
  return findBudgets(pod, budgets);
}

function parseRetryAfterMs(error: unknown): number {
  const seconds = Number(responseHeader(error, 'retry-after'));
  return Number.isFinite(seconds) && seconds > 0 ? seconds * 1_000 : refusedEvictionMs;
}
