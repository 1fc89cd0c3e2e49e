import type { V1Container, V1ContainerStateTerminated, V1Pod, V1PodSpec } from '@kubernetes/client-node';
import { applyObject, type NamedObject } from '../kubernetes/apply.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import { helperNamespace as namespace, ownedLabels } from '../kubernetes/names.ts';
import { allPages } from '../kubernetes/pagination.ts';
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
  spec?: Partial<V1PodSpec>;
}

/** Maximum length of a pod's name, in characters. */
const maxNameLength = 253;

/** Returns the name of the pod for a purpose on a node. */
export function oneShotPodName({ app, node }: Pick<OneShotPod, 'app' | 'node'>): string {
  return `${app}-${node}`.slice(0, maxNameLength);
}

/** Builds the pod's manifest. It tolerates every taint, and its container is never restarted. */
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
        tolerations: [{ operator: 'Exists' }],
        containers: [{ imagePullPolicy: 'IfNotPresent', ...container }],
        ...spec,
      },
    },
  };
}

/** Starts the pod. First removes the one that an earlier attempt left. */
export async function startOneShotPod(connection: ClusterConnection, pod: OneShotPod): Promise<void> {
  await removeOneShotPod(connection, oneShotPodName(pod));
  await applyObject(connection, oneShotPodManifest(pod));
}

/**
 * Polls one pod until `check` has an answer.
 * @param check receives undefined while the pod does not exist.
 * @throws ApplicationFailure of the type `onTimeout` on timeout.
 */
export async function waitForOneShotPod<T>(
  connection: ClusterConnection,
  { app, node }: Pick<OneShotPod, 'app' | 'node'>,
  check: (pod: V1Pod | undefined) => PollResult<T> | Promise<PollResult<T>>,
  options: PollOptions
): Promise<T> {
  const which = { app, name: oneShotPodName({ app, node }) };
  return waitForOneShotPods(connection, which, ([pod]) => check(pod), options);
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
