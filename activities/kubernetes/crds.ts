import type { V1CustomResourceDefinition } from '@kubernetes/client-node';
import { poll } from '../support/poll.ts';
import { deleteObject, listKnown } from './apply.ts';
import type { ClusterConnection } from './connection.ts';

const apiVersion = 'apiextensions.k8s.io/v1';
const kind = 'CustomResourceDefinition';

/** Returns the CRDs of one API group. */
export async function listDefinitions(
  connection: ClusterConnection,
  group: string
): Promise<V1CustomResourceDefinition[]> {
  const all = await listKnown<V1CustomResourceDefinition>(connection, apiVersion, kind);
  return all.filter(({ spec }) => spec.group === group);
}

/**
 * Removes CRDs, and with them all of their objects, and waits until they are gone.
 * @param list returns the CRDs that still exist.
 * @throws CleanupIncomplete naming those that are still there.
 */
export async function removeDefinitions(
  connection: ClusterConnection,
  list: () => Promise<V1CustomResourceDefinition[]>
): Promise<void> {
  for (const { metadata } of await list()) {
    await deleteObject(connection, { apiVersion, kind, metadata: { name: metadata?.name ?? '' } });
  }
  await poll(
    async () => {
      const left = (await list()).map(({ metadata }) => metadata?.name);
      return left.length === 0 ? { done: undefined } : { waitingFor: `deletion of CRDs: ${left.join(', ')}` };
    },
    { timeoutMs: 180_000, onTimeout: 'CleanupIncomplete', advice: 'check which finalizers block it' }
  );
}
