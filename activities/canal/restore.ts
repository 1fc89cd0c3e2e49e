import { isReady } from '../kubernetes/conditions.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import { poll } from '../support/poll.ts';
import type { CanalInstallation } from './detect.ts';

/**
 * Recreates Canal's pod on a node, which writes its CNI file at startup, and waits until the new pod is ready.
 * @throws AgentNotReady on timeout.
 */
export async function recreateCanalPod(
  { core }: ClusterConnection,
  { namespace, name, daemonSet }: CanalInstallation,
  node: string
): Promise<void> {
  const labels = Object.entries(daemonSet.spec?.selector.matchLabels ?? {}).map((pair) => pair.join('='));
  const query = { namespace, labelSelector: labels.join(','), fieldSelector: `spec.nodeName=${node}` };
  const listCanalPods = async () => (await core.listNamespacedPod(query)).items;
  const oldPods = await listCanalPods();
  for (const { metadata } of oldPods) {
    await ifFound(core.deleteNamespacedPod({ name: metadata?.name ?? '', namespace }));
  }
  const replacedUids = new Set(oldPods.map(({ metadata }) => metadata?.uid));
  await poll(
    async () =>
      (await listCanalPods()).some((pod) => !replacedUids.has(pod.metadata?.uid) && isReady(pod))
        ? { done: undefined }
        : { waitingFor: `Canal's new pod on ${node}` },
    { timeoutMs: 300_000, onTimeout: 'AgentNotReady', advice: `check the pod of ${namespace}/${name}` }
  );
}
