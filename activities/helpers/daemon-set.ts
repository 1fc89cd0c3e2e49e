import type { NamedObject } from '../kubernetes/apply.ts';
import { describeRollout, readRollout, rolloutPollMs } from '../kubernetes/daemon-sets.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { helperNamespace as namespace, ownedLabels } from '../kubernetes/names.ts';
import { poll } from '../support/poll.ts';

/**
 * Builds one of our DaemonSets, with a pod on every node, regardless of taints.
 * @param maxUnavailable number or percentage of pods that a change of the template replaces at the same time.
 */
export function ownDaemonSet(
  name: string,
  podSpec: object,
  maxUnavailable: number | string = '100%'
): NamedObject & Record<string, unknown> {
  const labels = { app: name, ...ownedLabels };
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name, namespace, labels: ownedLabels },
    spec: {
      selector: { matchLabels: { app: name } },
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable } },
      template: {
        metadata: { labels },
        spec: { automountServiceAccountToken: false, tolerations: [{ operator: 'Exists' }], ...podSpec },
      },
    },
  };
}

/**
 * Waits until one of our DaemonSets runs on every node that is Ready.
 * @returns the names of the nodes that were left out because they are not Ready.
 * @throws AgentNotReady on timeout.
 */
export async function waitForOwnDaemonSet(connection: ClusterConnection, name: string): Promise<string[]> {
  return poll(
    async () => {
      const daemonSet = await connection.apps.readNamespacedDaemonSet({ name, namespace });
      const rollout = await readRollout(connection, daemonSet);
      return rollout.complete
        ? { done: rollout.leftOut }
        : { waitingFor: describeRollout(daemonSet, rollout), nextPollMs: rolloutPollMs(daemonSet) };
    },
    { timeoutMs: 300_000, onTimeout: 'AgentNotReady', advice: `check its pods in ${namespace}` }
  );
}
