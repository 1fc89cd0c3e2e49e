import type { NamedObject } from '../kubernetes/apply.ts';
import { describeRollout, readRollout, rolloutPollMs } from '../kubernetes/daemon-sets.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { helperNamespace as namespace, ownedLabels } from '../kubernetes/names.ts';
import { poll } from '../support/poll.ts';

/** Builds one of our DaemonSets, with a pod on every node, regardless of taints. */
export function ownDaemonSet(name: string, podSpec: object): NamedObject & Record<string, unknown> {
  const labels = { app: name, ...ownedLabels };
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name, namespace, labels: ownedLabels },
    spec: {
      selector: { matchLabels: { app: name } },
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '100%' } },
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
