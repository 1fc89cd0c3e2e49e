import type { V1Node } from '@kubernetes/client-node';
import { cniChainKey, cniChainName } from '../../model/names.ts';
import type { RemovalFinding } from '../../model/removal-findings.ts';
import { readType } from '../canal/chained-plugins.ts';
import { readHostFolders } from '../canal/host-folders.ts';
import { listAgentStates, type AgentState } from '../cilium/agents.ts';
import { prober } from '../helpers/prober-ports.ts';
import { isReady } from '../kubernetes/conditions.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import { ciliumNamespace, helperNamespace, sourceAgentLabel } from '../kubernetes/names.ts';
import { listNodes } from '../kubernetes/nodes.ts';
import { listPods, type PodFacts } from '../kubernetes/pods.ts';
import { podAddress } from '../node/source-pods.ts';

/** State of a cluster in which nodes are searched. */
export interface JoinedNodesView {
  nodes: readonly V1Node[];
  agents: readonly AgentState[];
  /** Pods of the cluster, or of our namespace. */
  pods: readonly PodFacts[];
}

/** CNI plugins that Cilium's CNI file chains, and the folder in which container runtimes find them. */
interface ChainedPlugins {
  names: readonly string[];
  folder: string;
}

/**
 * Finds nodes that joined after the cutover and give no pod a network, although they are Ready with a ready agent. The usual
 * cause are missing plugins: on the other nodes, Canal's installer wrote them.
 */
export async function findNodesWithoutNetwork(
  connection: ClusterConnection,
  view: JoinedNodesView
): Promise<RemovalFinding[]> {
  const waiting = listWaitingProbers(view);
  if (waiting.length === 0) return [];
  const plugins = await readChainedPlugins(connection);
  return waiting.map((pod) => describeNode(pod, plugins));
}

/** Returns the reason why the probers of nodes have no network, by node, as far as it is known. */
export async function explainMissingNetwork(connection: ClusterConnection): Promise<ReadonlyMap<string, string>> {
  const found = await findNodesWithoutNetwork(connection, {
    nodes: await listNodes(connection),
    agents: (await ifFound(listAgentStates(connection))) ?? [],
    pods: await listPods(connection, { namespace: helperNamespace }),
  });
  return new Map(found.map(({ subject, reason }) => [subject, reason]));
}

/** Returns the probers without an address on nodes that joined after the cutover, which labels the nodes of Canal. */
function listWaitingProbers({ nodes, agents, pods }: JoinedNodesView): PodFacts[] {
  const isLabelled = ({ metadata }: V1Node): boolean => metadata?.labels?.[sourceAgentLabel] !== undefined;
  // Canal still runs everywhere, or nowhere.
  if (!nodes.some(isLabelled)) return [];
  const withAgent = new Set(agents.flatMap(({ node, ready }) => (ready ? [node] : [])));
  const joined = new Set(
    nodes.flatMap((node) => (isReady(node) && !isLabelled(node) ? [node.metadata?.name ?? ''] : []))
  );
  return pods
    .filter(({ namespace, labels }) => namespace === helperNamespace && labels['app'] === prober)
    .filter(({ node }) => joined.has(node) && withAgent.has(node))
    .filter((pod) => !pod.finished && pod.deletion === undefined && podAddress(pod) === undefined);
}

/** Describes a node by the pod that waits for its network. */
function describeNode({ key, node }: PodFacts, { names, folder }: ChainedPlugins): RemovalFinding {
  const cause =
    names.length === 0
      ? 'check the events of the pod'
      : `it joined after the cutover, and Canal's installer, which wrote the CNI plugins ${names.join(', ')} to the ` +
        `other nodes, does not run on it; install those that are missing in ${folder} (the events of the pod name them)`;
  const reason = `its agent is ready, but pod ${key} has no network yet; ${cause}`;
  return { kind: 'NodeWithoutNetwork', subject: node, node, reason };
}

/** Reads which plugins Cilium's CNI file chains. */
async function readChainedPlugins(connection: ClusterConnection): Promise<ChainedPlugins> {
  const name = cniChainName;
  const chain = await ifFound(connection.core.readNamespacedConfigMap({ name, namespace: ciliumNamespace }));
  const { plugins } = await readHostFolders(connection);
  return { names: parsePluginNames(chain?.data?.[cniChainKey]), folder: plugins };
}

/** Returns the plugins after Cilium's; none when the file cannot be read. */
function parsePluginNames(file: string | undefined): string[] {
  try {
    const { plugins = [] } = JSON.parse(file ?? '{}') as { plugins?: unknown[] };
    return plugins.slice(1).flatMap((plugin) => readType(plugin) ?? []);
  } catch {
    return [];
  }
}
