import type { V1Pod } from '@kubernetes/client-node';
import { ApplicationFailure } from '@temporalio/common';
import { failure } from '../support/failures.ts';
import { summarizeList } from '../../model/summarize.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { currentRevision, describeRollout, readRollout, rolloutPollMs } from '../kubernetes/daemon-sets.ts';
import { ifFound } from '../kubernetes/errors.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { ciliumNamespace as namespace } from '../kubernetes/names.ts';
import { readNamespaceRecord } from '../kubernetes/namespace-record.ts';
import { requirePresent, type NodeTarget } from '../kubernetes/nodes.ts';
import { allPages } from '../kubernetes/pagination.ts';
import { isReady } from '../kubernetes/conditions.ts';
import { poll, type PollResult } from '../support/poll.ts';
import { configName, findConfigDifferences, readCiliumConfig, readConfigChange } from './config.ts';

/** Names in Cilium's chart. */
export const agentDaemonSet = 'cilium';
export const operatorName = 'cilium-operator';
export const agentLabel = 'k8s-app=cilium';

/**
 * Maximum time to wait for agents, in ms. An agent compiles its programs at startup, which takes long on a busy
 * machine.
 */
const agentsTimeoutMs = 600_000;

/** Maximum number of agents that are checked for the names of those that are not ready. */
const maxListed = 100;

/** Creates the activities on Cilium's agents. */
export function createAgentActivities(onCluster: OnCluster) {
  return {
    /**
     * Compares the rendered configuration of the chart with what the migration needs.
     * @throws UnexpectedChart naming each key that differs.
     */
    checkCiliumConfig: onCluster(
      "read Cilium's configuration",
      async (
        { core },
        {
          expected,
        }: {
          cluster: string;
          expected: Readonly<Record<string, string | null>>;
        }
      ): Promise<void> => {
        const { data = {} } = await core.readNamespacedConfigMap({ name: configName, namespace });
        const lines = findConfigDifferences(data, expected);
        if (lines.length === 0) return;
        throw failure(
          'UnexpectedChart',
          `the chart rendered a configuration that the migration does not support: ${lines.join('; ')}`
        );
      }
    ),

    /**
     * Waits until the operator and the agents of all nodes are ready. Agents that are older than the last change of the
     * chart or the configuration are replaced one after the other; a first installation has none.
     * @returns the names of the nodes that were left out because they are not Ready.
     * @throws AgentNotReady naming what is not ready.
     */
    waitForAgents: onCluster('wait for the agents', async (connection): Promise<string[]> => {
      const leftOut = new Set<string>();
      for (const node of await listOutdatedNodes(connection)) {
        try {
          await restartOutdatedAgent(connection, node);
        } catch (error) {
          if (!(error instanceof ApplicationFailure && error.type === 'NodeNotReady')) throw error;
          leftOut.add(node);
        }
      }
      for (const node of await waitForAgents(connection)) leftOut.add(node);
      return [...leftOut].sort();
    }),

    /**
     * Replaces the agent of a node, unless it already runs with the current configuration and template, and waits for
     * the new agent.
     * @throws AgentNotReady when no new agent becomes ready.
     * @throws NodeNotReady when the node is not Ready, or has left the cluster.
     */
    restartOutdatedAgent: onCluster('restart the agent', async (connection, { node }: NodeTarget): Promise<void> => {
      await restartOutdatedAgent(connection, node);
    }),
  };
}

/** An agent of Cilium. */
export interface AgentState {
  /** namespace/name */
  pod: string;
  node: string;
  ready: boolean;
  /** True when it is older than the last change of its configuration or its template. */
  outdated: boolean;
}

async function restartOutdatedAgent(connection: ClusterConnection, node: string): Promise<void> {
  const desired = await readDesiredRevision(connection);
  const outdatedAgent = (await listAgents(connection, node)).find((pod) => isOutdated(pod, desired));
  if (outdatedAgent !== undefined) await deleteAgent(connection, outdatedAgent);
  await poll(
    async () => {
      const [agent] = await listAgents(connection, node);
      const ready = agent !== undefined && isReady(agent) && agent.metadata?.deletionTimestamp === undefined;
      // Compares with the current revision, which may have changed again.
      if (ready && !isOutdated(agent, await readDesiredRevision(connection))) return { done: undefined };
      await requirePresent(connection, node);
      return { waitingFor: `Cilium's agent on ${node} to be ready with its new configuration` };
    },
    { timeoutMs: agentsTimeoutMs, onTimeout: 'AgentNotReady', advice: agentAdvice(node) }
  );
}

/** Desired revision of agents: the time of the configuration's last change (Unix, ms), and the template's revision. */
interface DesiredRevision {
  changedMs: number;
  /** Undefined until the controller has created the revision. */
  revision: string | undefined;
}

async function readDesiredRevision(connection: ClusterConnection): Promise<DesiredRevision> {
  return { changedMs: await readConfigChange(connection), revision: await readRevision(connection) };
}

/**
 * Returns true when an agent was created before the last change of the configuration, or from an older template. Both
 * times are the API server's own, in whole seconds. An agent created in the second of the change starts after the
 * change.
 */
function isOutdated({ metadata }: V1Pod, { changedMs, revision }: DesiredRevision): boolean {
  return (
    (metadata?.creationTimestamp?.getTime() ?? 0) < changedMs ||
    (revision !== undefined && metadata?.labels?.['controller-revision-hash'] !== revision)
  );
}

/** Returns the agents of all nodes that are not terminating, without their specifications. */
export async function listAgentStates(connection: ClusterConnection): Promise<AgentState[]> {
  const desired = await readDesiredRevision(connection);
  return allPages(async (page) => {
    const list = await connection.core.listNamespacedPod({ namespace, labelSelector: agentLabel, ...page });
    const current = list.items.filter(({ metadata }) => metadata?.deletionTimestamp === undefined);
    const items = current.map((pod) => ({
      pod: `${namespace}/${pod.metadata?.name}`,
      node: pod.spec?.nodeName ?? '',
      ready: isReady(pod),
      outdated: isOutdated(pod, desired),
    }));
    return { ...list, items };
  });
}

/** Returns the nodes whose agents are outdated. */
async function listOutdatedNodes(connection: ClusterConnection): Promise<string[]> {
  const desired = await readDesiredRevision(connection);
  const agents = await allPages(async (page) => {
    const list = await connection.core.listNamespacedPod({ namespace, labelSelector: agentLabel, ...page });
    return { ...list, items: list.items.filter((pod) => isOutdated(pod, desired)) };
  });
  return agents.map(({ spec }) => spec?.nodeName ?? '');
}

/**
 * Returns the hash of the DaemonSet's newest revision, as its pods carry it; undefined until the controller has created
 * it.
 */
async function readRevision({ apps }: Pick<ClusterConnection, 'apps'>): Promise<string | undefined> {
  const daemonSet = await apps.readNamespacedDaemonSet({ name: agentDaemonSet, namespace });
  const { metadata, status } = daemonSet;
  if ((status?.observedGeneration ?? 0) < (metadata?.generation ?? 0)) return undefined;
  const { items } = await apps.listNamespacedControllerRevision({ namespace, labelSelector: agentLabel });
  return currentRevision(daemonSet, items);
}

/** Returns the agent pods of a node: at most one of them is not terminating. */
export async function listAgents({ core }: ClusterConnection, node: string): Promise<V1Pod[]> {
  const fieldSelector = `spec.nodeName=${node}`;
  return (await core.listNamespacedPod({ namespace, labelSelector: agentLabel, fieldSelector })).items;
}

/** Deletes exactly this agent, unless it is terminating or gone. */
export async function deleteAgent({ core }: ClusterConnection, { metadata }: V1Pod): Promise<void> {
  if (metadata?.name === undefined || metadata.uid === undefined || metadata.deletionTimestamp !== undefined) return;
  const body = { preconditions: { uid: metadata.uid } };
  await ifFound(core.deleteNamespacedPod({ name: metadata.name, namespace, body }));
}

/** Returns the advice for an agent that does not become ready. */
export function agentAdvice(node: string): string {
  return `check the pod of ${namespace}/${agentDaemonSet} on ${node}`;
}

/** Returns the UDP port of Cilium's overlay, from the agents' configuration. */
export async function readTunnelPort(connection: ClusterConnection): Promise<string> {
  return (await readCiliumConfig(connection))['tunnel-port'] ?? 'of the tunnel';
}

/** Returns true when Cilium manages the CNI files itself, as it does after the cutover. */
export async function ciliumOwnsCni(connection: ClusterConnection): Promise<boolean> {
  return (await readCiliumConfig(connection))['write-cni-conf-when-ready'] !== undefined;
}

/**
 * Returns the agents' image: it is present on every node, and contains a shell and the tools for links and rules. Once
 * the agents are gone, returns the image that was recorded before in kube-system, where tenants cannot write.
 * @returns undefined when there never were any agents.
 */
export async function agentImage(connection: ClusterConnection): Promise<string | undefined> {
  const daemonSet = await ifFound(connection.apps.readNamespacedDaemonSet({ name: agentDaemonSet, namespace }));
  if (daemonSet === undefined) return (await readNamespaceRecord(connection))?.hostImage;
  const containers = daemonSet.spec?.template.spec?.containers;
  const image = containers?.find((container) => container.name === 'cilium-agent')?.image;
  if (image === undefined)
    throw failure('UnexpectedChart', `DaemonSet ${namespace}/${agentDaemonSet} has no container cilium-agent`);
  return image;
}

async function waitForAgents(connection: ClusterConnection): Promise<string[]> {
  return poll(() => checkAgents(connection), {
    timeoutMs: agentsTimeoutMs,
    onTimeout: 'AgentNotReady',
    advice: `check these pods in ${namespace}, then start the migration again`,
  });
}

async function checkAgents(connection: ClusterConnection): Promise<PollResult<string[]>> {
  const { apps, core } = connection;
  const daemonSet = await apps.readNamespacedDaemonSet({ name: agentDaemonSet, namespace });
  const rollout = await readRollout(connection, daemonSet);
  if (!rollout.complete) {
    const { items } = await core.listNamespacedPod({ namespace, labelSelector: agentLabel, limit: maxListed });
    const waiting = items.filter((pod) => !isReady(pod));
    const names = waiting.map((pod) => `${pod.metadata?.name} on ${pod.spec?.nodeName ?? 'no node yet'}`).sort();
    const progress = describeRollout(daemonSet, rollout);
    return {
      waitingFor: `Cilium's agents: ${progress}, not ready: ${summarizeList(names) || 'not created yet'}`,
      nextPollMs: rolloutPollMs(daemonSet),
    };
  }
  const operator = await apps.readNamespacedDeployment({ name: operatorName, namespace });
  const available = operator.status?.availableReplicas ?? 0;
  const desired = operator.spec?.replicas ?? 1;
  // One operator does the work. The others are standby replicas, and may not be schedulable while nodes are cordoned.
  return available >= 1
    ? { done: rollout.leftOut }
    : { waitingFor: `Cilium's operator (${available} of ${desired} available)` };
}
