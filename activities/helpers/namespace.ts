import { mapLimit } from '../support/map-limit.ts';
import { agentImage } from '../cilium/agents.ts';
import { applyObject, deleteObject } from '../kubernetes/apply.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import { helperNamespace as namespace, hostImageAnnotation, isOurs, ownedLabels } from '../kubernetes/names.ts';
import { poll } from '../support/poll.ts';

/**
 * Makes our namespace, if it is not there. As long as it is there, a migration or its clean-up is not over.
 * @param hostImage image for work on the nodes, to be used when no agent runs any more. @default the one that is known
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

/** Whether our namespace is there, and ours. */
export async function ownsNamespace({ core }: ClusterConnection): Promise<boolean> {
  return isOurs(await ifFound(core.readNamespace({ name: namespace })));
}

/** So many pods are asked to end at a time. */
const podsAtOnce = 10;

/** So many pods are ended by us when the namespace goes; of more, Kubernetes ends the others as it comes to them. */
const endedPods = 100;

/**
 * Removes our namespace with everything in it, and waits until it is gone. Its pods are asked to end at once: Kubernetes
 * looks into a namespace only 5 s after its deletion, and then again only after half of the pods' grace period
 * (k8s.io/kubernetes pkg/controller/namespace).
 */
export async function removeNamespace(connection: ClusterConnection): Promise<void> {
  const { core } = connection;
  if (!(await ownsNamespace(connection))) return;
  await deleteObject(connection, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  const { items } = await core.listNamespacedPod({ namespace, limit: endedPods });
  await mapLimit(podsAtOnce, items, ({ metadata }) =>
    ifFound(core.deleteNamespacedPod({ name: metadata?.name ?? '', namespace, gracePeriodSeconds: 1 }))
  );
  await poll(
    async () =>
      (await ifFound(core.readNamespace({ name: namespace }))) === undefined
        ? { done: undefined }
        : { waitingFor: `namespace ${namespace} to go` },
    { timeoutMs: 180_000, onTimeout: 'CleanUpIncomplete', advice: 'see what its status says is left in it' }
  );
}
