import type { V1Container, V1ContainerStateTerminated, V1Pod, V1PodSpec } from '@kubernetes/client-node';
import { createObject, type NamedObject } from '../kubernetes/apply.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { isSilent } from '../kubernetes/conditions.ts';
import { ifFound } from '../kubernetes/errors.ts';
import { helperNamespace as namespace, ownedLabels } from '../kubernetes/names.ts';
import { allPages } from '../kubernetes/pagination.ts';
import { readNode } from '../kubernetes/nodes.ts';
import { failure } from '../support/failures.ts';
import { mapLimit } from '../support/map-limit.ts';
import { poll, type PollOptions, type PollResult } from '../support/poll.ts';

/** A pod of our namespace that runs one container on a node, once. */
export interface OneShotPod {
  /** Purpose of the pod: its label `app`, and the first part of its name. */
  app: string;
  node: string;
  container: V1Container;
  /**
   * Further fields of the pod's spec, such as its volumes.
   * @default none
   */
  spec?: Omit<Partial<V1PodSpec>, 'priorityClassName' | 'priority'>;
}

/** Maximum length of a pod's name, in characters. */
const maxNameLength = 253;

/**
 * Time in seconds after which the kubelet ends a pod, even when no worker is left to remove it: longer than the worker
 * waits for any of them.
 */
const deadlineSeconds = 900;

/** Returns the name of the pod for a purpose on a node. */
export function oneShotPodName({ app, node }: Pick<OneShotPod, 'app' | 'node'>): string {
  return `${app}-${node}`.slice(0, maxNameLength);
}

/**
 * Builds the pod's manifest. It tolerates every taint, and its container is never restarted. It has no critical
 * priority: to admit a critical pod (priority of 2,000,000,000 and above), the kubelet kills other pods, without regard
 * to disruption budgets, and rejects any other pod for which it has no room (k8s.io/kubernetes pkg/kubelet/preemption,
 * pkg/kubelet/types/pod_update.go).
 */
export function oneShotPodManifest(pod: OneShotPod): NamedObject {
  const { app, node, container, spec } = pod;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: oneShotPodName(pod), namespace, labels: { app, ...ownedLabels } },
    ...{
      spec: {
        // Bypasses the scheduler: the node may be cordoned, and may have no pod network.
        nodeName: node,
        restartPolicy: 'Never',
        automountServiceAccountToken: false,
        terminationGracePeriodSeconds: 1,
        activeDeadlineSeconds: deadlineSeconds,
        tolerations: [{ operator: 'Exists' }],
        containers: [{ imagePullPolicy: 'IfNotPresent', ...container }],
        ...spec,
      },
    },
  };
}

/**
 * Starts the pod. First removes the one that an earlier attempt left. It is created and not applied: the worker has no
 * permission to patch pods, which would include those of others.
 */
export async function startOneShotPod(connection: ClusterConnection, pod: OneShotPod): Promise<void> {
  await removeOneShotPod(connection, oneShotPodName(pod));
  await createObject(connection, oneShotPodManifest(pod));
}

/** Interval between two checks of the node of a pod that has not started, in ms. */
const nodePollMs = 5_000;

/**
 * Polls a pod that was started until `check` has an answer.
 * @throws HelperPodFailed, retryable, as soon as the pod cannot run: the kubelet rejected or evicted it, or it was
 * deleted.
 * @throws NodeNotReady when the pod has not started and the kubelet has not reported for a minute, or when the node has
 * left the cluster.
 * @throws ApplicationFailure of the type `onTimeout` on timeout.
 */
export async function waitForOneShotPod<T>(
  connection: ClusterConnection,
  { app, node }: Pick<OneShotPod, 'app' | 'node'>,
  check: (pod: V1Pod) => PollResult<T> | Promise<PollResult<T>>,
  options: PollOptions
): Promise<T> {
  const name = oneShotPodName({ app, node });
  let nextNodePollMs = Date.now() + nodePollMs;
  const checkPod = async (pod: V1Pod | undefined): Promise<PollResult<T>> => {
    // The pods of a node that has left the cluster are deleted, too.
    if (pod === undefined) await readNode(connection, node);
    const problem = pod === undefined ? 'it was deleted before it ended' : findPodFailure(pod);
    if (pod === undefined || problem !== undefined) {
      const advice = 'free capacity on the node if it has none; the step is retried';
      throw failure('HelperPodFailed', `pod ${namespace}/${name} on ${node} did not finish: ${problem}; ${advice}`, {
        retryable: true,
      });
    }
    if (pod.status?.phase !== 'Running' && Date.now() >= nextNodePollMs) {
      await requireReportingKubelet(connection, node);
      nextNodePollMs = Date.now() + nodePollMs;
    }
    const result = await check(pod);
    const reason = waitingReason(pod);
    if ('done' in result || reason === undefined) return result;
    return { ...result, waitingFor: `${result.waitingFor}: ${reason}` };
  };
  return waitForOneShotPods(connection, { app, name }, ([pod]) => checkPod(pod), options);
}

/**
 * Returns the reason why a pod cannot run any more although its container did not exit; undefined otherwise.
 * The kubelet sets a reason in the status of a pod that it rejects, such as OutOfpods, or evicts; a container that ended
 * leaves it empty (k8s.io/kubernetes pkg/kubelet).
 */
export function findPodFailure(pod: V1Pod): string | undefined {
  const { phase, reason, message } = pod.status ?? {};
  if (phase !== 'Failed' || (reason === undefined && terminatedContainer(pod) !== undefined)) return undefined;
  return [reason ?? 'it failed without a reason', message].filter(Boolean).join(': ');
}

/** Returns the reason why the pod's container has not started, such as ErrImagePull; undefined when there is none. */
export function waitingReason(pod: V1Pod | undefined): string | undefined {
  const { reason, message } = pod?.status?.containerStatuses?.[0]?.state?.waiting ?? {};
  return reason === undefined ? undefined : [reason, message].filter(Boolean).join(': ');
}

/** @throws NodeNotReady when the node does not exist, or its kubelet has not reported for a minute. */
export async function requireReportingKubelet(connection: ClusterConnection, node: string): Promise<void> {
  if (isSilent(await readNode(connection, node)))
    throw failure(
      'NodeNotReady',
      `the kubelet of ${node} has not reported for a minute; repair the node, or remove it`
    );
}

/**
 * Polls all pods of a purpose, or one of them, until `check` has an answer. Each poll is one request.
 * @throws ApplicationFailure of the type `onTimeout` on timeout.
 */
export async function waitForOneShotPods<T>(
  { core }: ClusterConnection,
  { app, name }: { app: string; name?: string },
  check: (pods: readonly V1Pod[]) => PollResult<T> | Promise<PollResult<T>>,
  options: PollOptions
): Promise<T> {
  const which = { labelSelector: `app=${app}`, ...(name !== undefined && { fieldSelector: `metadata.name=${name}` }) };
  return poll(
    async () => check(await allPages((page) => core.listNamespacedPod({ namespace, ...which, ...page }))),
    options
  );
}

/** Returns how the pod's container ended; undefined while it runs or does not exist. */
export function terminatedContainer(pod: V1Pod | undefined): V1ContainerStateTerminated | undefined {
  return pod?.status?.containerStatuses?.[0]?.state?.terminated;
}

/** Maximum number of pods that are removed in parallel. */
const maxParallelPods = 10;

/** Removes all pods of a purpose. */
export async function removeOneShotPods(connection: ClusterConnection, app: string): Promise<void> {
  const labelSelector = `app=${app}`;
  const items = await allPages((page) => connection.core.listNamespacedPod({ namespace, labelSelector, ...page }));
  await mapLimit(maxParallelPods, items, ({ metadata }) => removeOneShotPod(connection, metadata?.name ?? ''));
}

/** Removes a pod from our namespace, and waits until it is gone. A pod that does not exist is ignored. */
export async function removeOneShotPod({ core }: ClusterConnection, name: string): Promise<void> {
  await ifFound(core.deleteNamespacedPod({ name, namespace, gracePeriodSeconds: 0 }));
  await poll(
    async () =>
      (await ifFound(core.readNamespacedPod({ name, namespace }))) === undefined
        ? { done: undefined }
        : { waitingFor: `the deletion of pod ${namespace}/${name}` },
    { timeoutMs: 60_000, intervalMs: 300, onTimeout: 'NodeNotReady' }
  );
}
