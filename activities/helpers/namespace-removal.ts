import { summarizeList } from '../../model/summarize.ts';
import { deleteObject } from '../kubernetes/apply.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { httpStatus, ifFound } from '../kubernetes/errors.ts';
import { removeLostPods } from '../kubernetes/lost-pods.ts';
import {
  helperNamespace as namespace,
  isOurs,
  noReturnAnnotation,
  ownedLabels,
  rollbackBegunAnnotation,
} from '../kubernetes/names.ts';
import {
  deleteNamespaceRecord,
  readNamespaceRecord,
  recordText,
  updateNamespaceRecord,
} from '../kubernetes/namespace-record.ts';
import { patchNamespaceAnnotations, readNamespaceState } from '../kubernetes/own-namespace.ts';
import { allPages } from '../kubernetes/pagination.ts';
import { failure } from '../support/failures.ts';
import { mapLimit } from '../support/map-limit.ts';
import { poll } from '../support/poll.ts';
import { identityBridge, natExemption } from './names.ts';
import { listInNamespace } from './namespace-contents.ts';
import { hostProber, prober, proberPeer } from './prober-ports.ts';

/** Maximum number of objects that are deleted in parallel. */
const maxParallelObjects = 10;

/** Maximum number of pods that we delete ourselves when the namespace is deleted; Kubernetes deletes the others. */
const maxDeletedPods = 100;

/** Names of our DaemonSets. */
const daemonSets = [prober, proberPeer, hostProber, natExemption];

/** Selects our pods. */
const ours = Object.entries(ownedLabels)
  .map(([label, value]) => `${label}=${value}`)
  .join(',');

/**
 * Removes our namespace with everything in it, waits until it is gone, and then removes its record. From a namespace that
 * an administrator created, removes only what is ours. A namespace that is not ours stays as it is.
 */
export async function removeNamespace(connection: ClusterConnection): Promise<void> {
  const current = await readNamespaceState(connection);
  if (current.record?.createdBy === 'administrator') {
    if (current.state === 'ours') await leaveNamespace(connection);
    return;
  }
  if (current.state === 'ours') await deleteNamespace(connection, current.namespace.metadata?.uid ?? '');
  // Of a namespace that is not ours, the record is about one that is gone.
  await removeRecord(connection);
}

/**
 * Deletes the namespace with this UID. Deletes its pods at once: Kubernetes processes a namespace only 5 s after its
 * deletion, and then again only after half of the pods' grace period (k8s.io/kubernetes pkg/controller/namespace).
 */
async function deleteNamespace(connection: ClusterConnection, uid: string): Promise<void> {
  const { core } = connection;
  const isGone = async () => (await ifFound(core.readNamespace({ name: namespace })))?.metadata?.uid !== uid;
  const body = { preconditions: { uid }, propagationPolicy: 'Background' };
  try {
    await ifFound(core.deleteNamespace({ name: namespace, body }));
  } catch (error) {
    // Another namespace has the name now, or the deletion has begun.
    if (httpStatus(error) !== 409) throw error;
  }
  if (await isGone()) return;
  await deletePods(connection);
  await poll(
    async () => {
      if (await isGone()) return { done: undefined };
      await removeLostPods(connection, { namespace, daemonSets });
      return { waitingFor: `the deletion of namespace ${namespace}` };
    },
    { timeoutMs: 180_000, onTimeout: 'CleanupIncomplete', advice: 'its status names what is left in it' }
  );
}

/** Removes the record, unless it is that of a namespace that exists. */
async function removeRecord(connection: ClusterConnection): Promise<void> {
  const { state, record } = await readNamespaceState(connection);
  if (state === 'ours' || record === undefined) return;
  if (await deleteNamespaceRecord(connection, record)) return;
  // Another activity has removed it, or creates the namespace again, and uses the record.
  if ((await readNamespaceRecord(connection)) === undefined) return;
  throw failure('KubernetesError', `${recordText} has changed during its removal; the step is retried`, {
    retryable: true,
  });
}

/** Kinds of the objects of our helpers, in the order of their removal. The namespace's other objects do nothing. */
const helperKinds = [
  ['apps/v1', 'DaemonSet'],
  ['apps/v1', 'Deployment'],
  ['v1', 'Service'],
  ['rbac.authorization.k8s.io/v1', 'RoleBinding'],
  ['v1', 'ServiceAccount'],
  ['v1', 'ConfigMap'],
] as const;

/**
 * Removes our helpers and their objects from our namespace, and waits until their pods are gone. The namespace itself
 * stays, with its annotations and with the objects of others.
 */
export async function emptyNamespace(connection: ClusterConnection): Promise<void> {
  if ((await readNamespaceState(connection)).state !== 'ours') return;
  for (const [apiVersion, kind] of helperKinds) {
    const removed = (await listInNamespace(connection, apiVersion, kind)).filter(isOurs);
    await mapLimit(maxParallelObjects, removed, async (object) => {
      const metadata = { name: object.metadata?.name ?? '', namespace };
      await deleteObject(connection, { apiVersion, kind, metadata });
      // A role has the name of its binding.
      if (kind === 'RoleBinding') await deleteObject(connection, { apiVersion, kind: 'Role', metadata });
    });
  }
  await deletePods(connection);
  await poll(
    async () => {
      await removeLostPods(connection, { namespace, daemonSets });
      const names = (await listOwnPods(connection)).map(({ metadata }) => metadata?.name ?? '');
      return names.length === 0
        ? { done: undefined }
        : { waitingFor: `the end of our pods in ${namespace}: ${summarizeList(names)}` };
    },
    { timeoutMs: 180_000, onTimeout: 'CleanupIncomplete', advice: `check these pods in ${namespace}` }
  );
}

/**
 * Removes what is ours from a namespace that an administrator created. The mark in the record is removed last: until then,
 * the removal is not finished.
 */
async function leaveNamespace(connection: ClusterConnection): Promise<void> {
  await emptyNamespace(connection);
  const others = [
    { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: prober, namespace } },
    { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: identityBridge, namespace } },
  ];
  for (const object of others) await deleteObject(connection, object);
  await patchNamespaceAnnotations(connection, { [noReturnAnnotation]: null, [rollbackBegunAnnotation]: null });
  const record = await readNamespaceRecord(connection);
  if (record === undefined || (!record.inUse && record.hostImage === undefined)) return;
  if (await updateNamespaceRecord(connection, record, { inUse: false, hostImage: null })) return;
  throw failure('KubernetesError', `${recordText} has changed during the removal; the step is retried`, {
    retryable: true,
  });
}

function listOwnPods({ core }: ClusterConnection) {
  return allPages((page) => core.listNamespacedPod({ namespace, labelSelector: ours, ...page }));
}

/** Deletes the first of our pods, with a grace period of one second. */
async function deletePods(connection: ClusterConnection): Promise<void> {
  const pods = await connection.core.listNamespacedPod({ namespace, labelSelector: ours, limit: maxDeletedPods });
  await mapLimit(maxParallelObjects, pods.items, ({ metadata }) =>
    ifFound(connection.core.deleteNamespacedPod({ name: metadata?.name ?? '', namespace, gracePeriodSeconds: 1 }))
  );
}
