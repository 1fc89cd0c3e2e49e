import { agentImage } from '../cilium/agents.ts';
import { applyObject, deleteObject } from '../kubernetes/apply.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import { helperNamespace as namespace, hostImageAnnotation, isOurs, ownedLabels } from '../kubernetes/names.ts';
import { poll } from '../poll.ts';

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

/** Removes our namespace with everything in it, and waits until it is gone. */
export async function removeNamespace(connection: ClusterConnection): Promise<void> {
  if (!(await ownsNamespace(connection))) return;
  await deleteObject(connection, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  await poll(
    async () =>
      (await ifFound(connection.core.readNamespace({ name: namespace }))) === undefined
        ? { done: undefined }
        : { waitingFor: `namespace ${namespace} to go` },
    { timeoutMs: 180_000, onTimeout: 'CleanUpIncomplete', advice: 'see what its status says is left in it' }
  );
}
