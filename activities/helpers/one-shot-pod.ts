import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import { helperNamespace as namespace } from '../kubernetes/names.ts';
import { poll } from '../support/poll.ts';

/** Removes a pod from our namespace, such as one that an interrupted attempt left, and waits until it is gone. */
export async function removeOwnPod({ core }: ClusterConnection, name: string): Promise<void> {
  await ifFound(core.deleteNamespacedPod({ name, namespace, gracePeriodSeconds: 0 }));
  await poll(
    async () =>
      (await ifFound(core.readNamespacedPod({ name, namespace }))) === undefined
        ? { done: undefined }
        : { waitingFor: `pod ${namespace}/${name} to go` },
    { timeoutMs: 60_000, intervalMs: 300, onTimeout: 'NodeNotReady' }
  );
}
