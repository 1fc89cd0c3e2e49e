import type { V1Pod } from '@kubernetes/client-node';
import { summarizeList } from '../../model/summarize.ts';
import { isReady } from '../kubernetes/conditions.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import { ciliumNamespace as namespace } from '../kubernetes/names.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { poll } from '../support/poll.ts';
import { operatorName } from './agents.ts';
import { readConfigChange } from './config.ts';

/** Maximum time to wait for a new operator, in ms. */
const operatorTimeoutMs = 300_000;

/** Creates the activity on Cilium's operator. */
export function createOperatorActivities(onCluster: OnCluster) {
  return {
    /**
     * Replaces the operator's pods that are older than the last change of Cilium's configuration, and waits until none of
     * them is left and a new one is ready. The operator reads its configuration only when it starts, and the chart does
     * not restart it (`operator.rollOutPods` is false).
     * @throws AgentNotReady naming what is not ready.
     */
    restartOutdatedOperator: onCluster("restart Cilium's operator", async (connection): Promise<void> => {
      for (const { metadata } of await listOutdatedOperators(connection)) {
        if (metadata?.name === undefined || metadata.uid === undefined || metadata.deletionTimestamp !== undefined)
          continue;
        const body = { preconditions: { uid: metadata.uid } };
        await ifFound(connection.core.deleteNamespacedPod({ name: metadata.name, namespace, body }));
      }
      await poll(
        async () => {
          const outdated = (await listOutdatedOperators(connection)).map(({ metadata }) => metadata?.name ?? '');
          if (outdated.length > 0) return { waitingFor: `the end of ${summarizeList(outdated)}` };
          // The others are standby replicas, and may not be schedulable while nodes are cordoned.
          return (await listOperators(connection)).some(isReady)
            ? { done: undefined }
            : { waitingFor: `a pod of Deployment ${namespace}/${operatorName} to be ready` };
        },
        { timeoutMs: operatorTimeoutMs, onTimeout: 'AgentNotReady', advice: `check its pods in ${namespace}` }
      );
    }),
  };
}

/** Returns the operator's pods that are older than the last change of Cilium's configuration, also terminating ones. */
export async function listOutdatedOperators(connection: ClusterConnection): Promise<V1Pod[]> {
  const changedMs = await readConfigChange(connection);
  return (await listOperators(connection)).filter(
    ({ metadata }) => (metadata?.creationTimestamp?.getTime() ?? 0) < changedMs
  );
}

/** Returns the pods of the operator's Deployment. */
export async function listOperators({ core, apps }: ClusterConnection): Promise<V1Pod[]> {
  const { spec } = await apps.readNamespacedDeployment({ name: operatorName, namespace });
  const labels = Object.entries(spec?.selector.matchLabels ?? {}).map((pair) => pair.join('='));
  return (await core.listNamespacedPod({ namespace, labelSelector: labels.join(',') })).items;
}
