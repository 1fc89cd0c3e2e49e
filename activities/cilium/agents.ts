import type { V1DaemonSet } from '@kubernetes/client-node';
import { PatchStrategy, setHeaderOptions } from '@kubernetes/client-node';
import { ciliumNamespace as namespace } from '../helm/release.ts';
import { failure } from '../failures.ts';
import type { ClusterConnection, Clusters } from '../kubernetes/connection.ts';
import { ifFound, withFailures } from '../kubernetes/errors.ts';
import { fieldManager } from '../kubernetes/names.ts';
import { isReady } from '../kubernetes/ready.ts';
import { poll, type Look } from '../poll.ts';

/** Names in Cilium's chart. */
const daemonSetName = 'cilium';
const operatorName = 'cilium-operator';
const configName = 'cilium-config';
export const agentLabel = 'k8s-app=cilium';

/** An agent compiles its programs when it starts, which takes a busy machine a while. In ms. */
const agentsTimeoutMs = 600_000;

/** Annotation of the agents' pod template: the state of `cilium-config` that they were last restarted for. */
const restartedFor = 'cni-live-migration/config-version';

/** The activities on Cilium's agents. */
export function createAgentActivities(clusters: Clusters) {
  return {
    /**
     * Compares what the chart rendered with what the migration needs.
     * @throws UnexpectedChart naming each key that differs.
     */
    checkCiliumConfig: withFailures(
      "read Cilium's configuration",
      async ({ cluster, expected }: { cluster: string; expected: Readonly<Record<string, string>> }): Promise<void> => {
        const { core } = await clusters.connect(cluster);
        const { data = {} } = await core.readNamespacedConfigMap({ name: configName, namespace });
        const wrong = Object.entries(expected).filter(([key, value]) => data[key] !== value);
        if (wrong.length === 0) return;
        const lines = wrong.map(
          ([key, value]) => `${key} is ${JSON.stringify(data[key] ?? null)}, not ${JSON.stringify(value)}`
        );
        throw failure(
          'UnexpectedChart',
          `the chart made another configuration than the migration needs: ${lines.join('; ')}`
        );
      }
    ),

    /** Waits until the operator and the agents of all nodes are ready. @throws AgentNotReady naming what is not. */
    waitForAgents: withFailures('wait for the agents', async ({ cluster }: { cluster: string }): Promise<void> => {
      await agentsReady(await clusters.connect(cluster));
    }),

    /** Restarts the agents, one node at a time, unless they run with today's configuration already. */
    restartAgents: withFailures('restart the agents', async ({ cluster }: { cluster: string }): Promise<void> => {
      const connection = await clusters.connect(cluster);
      const { metadata } = await connection.core.readNamespacedConfigMap({ name: configName, namespace });
      const annotations = { [restartedFor]: metadata?.resourceVersion ?? '' };
      // A change of the template makes the DaemonSet's own rolling update do it; the same value again changes nothing.
      await connection.apps.patchNamespacedDaemonSet(
        { name: daemonSetName, namespace, fieldManager, body: { spec: { template: { metadata: { annotations } } } } },
        setHeaderOptions('Content-Type', PatchStrategy.MergePatch)
      );
      await agentsReady(connection);
    }),
  };
}

/** True when Cilium writes the CNI files by itself, as after the cut-over. */
export async function ciliumOwnsCni({ core }: ClusterConnection): Promise<boolean> {
  const config = await ifFound(core.readNamespacedConfigMap({ name: configName, namespace }));
  return config !== undefined && config.data?.['custom-cni-conf'] !== 'true';
}

/** Image that the agents run: one that is on every node. */
export async function agentImage({ apps }: ClusterConnection): Promise<string> {
  const { spec } = await apps.readNamespacedDaemonSet({ name: daemonSetName, namespace });
  const image = spec?.template.spec?.containers.find((container) => container.name === 'cilium-agent')?.image;
  if (image === undefined)
    throw failure('UnexpectedChart', `DaemonSet ${namespace}/${daemonSetName} has no container cilium-agent`);
  return image;
}

async function agentsReady(connection: ClusterConnection): Promise<void> {
  await poll(() => lookAtAgents(connection), {
    timeoutMs: agentsTimeoutMs,
    onTimeout: 'AgentNotReady',
    advice: `look at these pods in ${namespace}, then start the migration again`,
  });
}

async function lookAtAgents(connection: ClusterConnection): Promise<Look<void>> {
  const { apps, core } = connection;
  const daemonSet = await apps.readNamespacedDaemonSet({ name: daemonSetName, namespace });
  if (!isRolledOut(daemonSet)) {
    const { items } = await core.listNamespacedPod({ namespace, labelSelector: agentLabel });
    const waiting = items.filter((pod) => !isReady(pod));
    const names = waiting.map((pod) => `${pod.metadata?.name} on ${pod.spec?.nodeName ?? 'no node yet'}`).sort();
    return { waitingFor: `Cilium's agents (not ready: ${names.slice(0, 10).join(', ') || 'being made'})` };
  }
  const operator = await apps.readNamespacedDeployment({ name: operatorName, namespace });
  const available = operator.status?.availableReplicas ?? 0;
  const wanted = operator.spec?.replicas ?? 1;
  // One operator does the work; the others stand by, and may find no node while nodes are cordoned.
  return available >= 1
    ? { done: undefined }
    : { waitingFor: `Cilium's operator (${available} of ${wanted} available)` };
}

/** True when every pod that the DaemonSet wants is made from its current template and is available. */
export function isRolledOut({ metadata, status }: V1DaemonSet): boolean {
  if (status === undefined || (status.observedGeneration ?? 0) < (metadata?.generation ?? 0)) return false;
  const wanted = status.desiredNumberScheduled;
  return wanted > 0 && (status.updatedNumberScheduled ?? 0) === wanted && (status.numberAvailable ?? 0) === wanted;
}
