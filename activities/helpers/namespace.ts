import { mapLimit } from '../support/map-limit.ts';
import { agentImage } from '../cilium/agents.ts';
import { applyObject, deleteObject } from '../kubernetes/apply.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import { helperNamespace as namespace, hostImageAnnotation, isOurs, ownedLabels } from '../kubernetes/names.ts';
import { poll } from '../support/poll.ts';

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

/** Maximum number of pods that are deleted in parallel. */
const maxParallelPods = 10;

/** Maximum number of pods that we delete ourselves when the namespace is deleted; Kubernetes deletes the others. */
const maxDeletedPods = 100;

/**
 * Removes our namespace with everything in it, and waits until it is gone. Deletes its pods at once: Kubernetes
 * processes a namespace only 5 s after its deletion, and then again only after half of the pods' grace period
 * (k8s.io/kubernetes pkg/controller/namespace).
 */
export async function removeNamespace(connection: ClusterConnection): Promise<void> {
  const { core } = connection;
  if (!(await ownsNamespace(connection))) return;
  await deleteObject(connection, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  const { items } = await core.listNamespacedPod({ namespace, limit: maxDeletedPods });
  await mapLimit(maxParallelPods, items, ({ metadata }) =>
    ifFound(core.deleteNamespacedPod({ name: metadata?.name ?? '', namespace, gracePeriodSeconds: 1 }))
  );
  await poll(
    async () =>
      (await ifFound(core.readNamespace({ name: namespace }))) === undefined
        ? { done: undefined }
        : { waitingFor: `the deletion of namespace ${namespace}` },
    { timeoutMs: 180_000, onTimeout: 'CleanupIncomplete', advice: 'its status names what is left in it' }
  );
}
