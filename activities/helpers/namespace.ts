import type { KubernetesObject } from '@kubernetes/client-node';
import { summarizeList } from '../../model/summarize.ts';
import { mapLimit } from '../support/map-limit.ts';
import { agentImage } from '../cilium/agents.ts';
import { applyObject, deleteObject } from '../kubernetes/apply.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import { helperNamespace as namespace, hostImageAnnotation, isOurs, ownedLabels } from '../kubernetes/names.ts';
import { removeLostPods } from '../kubernetes/lost-pods.ts';
import { allPages } from '../kubernetes/pagination.ts';
import { poll } from '../support/poll.ts';
import { natExemption } from './names.ts';
import { hostProber, prober, proberPeer } from './prober-ports.ts';

/**
 * Creates our namespace if it does not exist. As long as it exists, a migration or its cleanup is not finished.
 * @param hostImage image for work on the nodes, for use when no agent runs any more; the known one by default.
 */
export async function applyNamespace(connection: ClusterConnection, hostImage?: string): Promise<void> {
  const image = hostImage ?? (await agentImage(connection));
  await applyObject(connection, {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      name: namespace,
      labels: { ...ownedLabels, 'pod-security.kubernetes.io/enforce': 'privileged' },
      ...(image !== undefined && { annotations: { [hostImageAnnotation]: image } }),
    },
  });
}

/** Returns true when our namespace exists and is ours. */
export async function ownsNamespace({ core }: ClusterConnection): Promise<boolean> {
  return isOurs(await ifFound(core.readNamespace({ name: namespace })));
}

/** Returns true when our namespace is gone, or its deletion has begun. */
export async function isNamespaceDeleted({ core }: ClusterConnection): Promise<boolean> {
  const object = await ifFound(core.readNamespace({ name: namespace }));
  return object?.metadata?.deletionTimestamp !== undefined || object === undefined;
}

/** Maximum number of objects that are deleted in parallel. */
const maxParallelObjects = 10;

/** Maximum number of pods that we delete ourselves when the namespace is deleted; Kubernetes deletes the others. */
const maxDeletedPods = 100;

/** Names of our DaemonSets. */
const daemonSets = [prober, proberPeer, hostProber, natExemption];

/**
 * Removes our namespace with everything in it, and waits until it is gone. Deletes its pods at once: Kubernetes
 * processes a namespace only 5 s after its deletion, and then again only after half of the pods' grace period
 * (k8s.io/kubernetes pkg/controller/namespace).
 */
export async function removeNamespace(connection: ClusterConnection): Promise<void> {
  const { core } = connection;
  if (!(await ownsNamespace(connection))) return;
  await deleteObject(connection, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  await deletePods(connection);
  await poll(
    async () => {
      if ((await ifFound(core.readNamespace({ name: namespace }))) === undefined) return { done: undefined };
      await removeLostPods(connection, { namespace, daemonSets });
      return { waitingFor: `the deletion of namespace ${namespace}` };
    },
    { timeoutMs: 180_000, onTimeout: 'CleanupIncomplete', advice: 'its status names what is left in it' }
  );
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

/** Objects that Kubernetes creates in every namespace. */
const kubernetesObjects = ['ServiceAccount default', 'ConfigMap kube-root-ca.crt'];

/**
 * Removes our helpers and their objects, and waits until their pods are gone. The namespace itself stays, with its
 * annotations.
 */
export async function emptyNamespace(connection: ClusterConnection): Promise<void> {
  const { core } = connection;
  if (!(await ownsNamespace(connection))) return;
  for (const [apiVersion, kind] of helperKinds) {
    const items = await listInNamespace(connection, apiVersion, kind);
    const names = items.map(({ metadata }) => metadata?.name ?? '');
    const removed = names.filter((name) => !kubernetesObjects.includes(`${kind} ${name}`));
    await mapLimit(maxParallelObjects, removed, async (name) => {
      const metadata = { name, namespace };
      await deleteObject(connection, { apiVersion, kind, metadata });
      // A role has the name of its binding.
      if (kind === 'RoleBinding') await deleteObject(connection, { apiVersion, kind: 'Role', metadata });
    });
  }
  await deletePods(connection);
  await poll(
    async () => {
      await removeLostPods(connection, { namespace, daemonSets });
      const { items } = await core.listNamespacedPod({ namespace, limit: maxDeletedPods });
      const names = items.map(({ metadata }) => metadata?.name ?? '');
      return names.length === 0
        ? { done: undefined }
        : { waitingFor: `the end of our pods in ${namespace}: ${summarizeList(names)}` };
    },
    { timeoutMs: 180_000, onTimeout: 'CleanupIncomplete', advice: `check these pods in ${namespace}` }
  );
}

function listInNamespace(
  { objects }: ClusterConnection,
  apiVersion: string,
  kind: string
): Promise<KubernetesObject[]> {
  return allPages(({ limit, _continue }) => {
    const unused = [undefined, undefined, undefined, undefined, undefined] as const;
    return objects.list(apiVersion, kind, namespace, ...unused, limit, _continue);
  });
}

/** Deletes the first pods of our namespace, with a grace period of one second. */
async function deletePods({ core }: ClusterConnection): Promise<void> {
  const { items } = await core.listNamespacedPod({ namespace, limit: maxDeletedPods });
  await mapLimit(maxParallelObjects, items, ({ metadata }) =>
    ifFound(core.deleteNamespacedPod({ name: metadata?.name ?? '', namespace, gracePeriodSeconds: 1 }))
  );
}
