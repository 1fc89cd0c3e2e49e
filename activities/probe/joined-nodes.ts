import type { V1Node } from '@kubernetes/client-node';
import { cniChainKey, cniChainName } from '../../model/names.ts';
import type { RemovalFinding } from '../../model/removal-findings.ts';
import { readType } from '../canal/chained-plugins.ts';
import { readHostFolders } from '../canal/host-folders.ts';
import { prober } from '../helpers/prober-ports.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import { ciliumNamespace, helperNamespace, sourceAgentLabel } from '../kubernetes/names.ts';
import type { PodFacts } from '../kubernetes/pods.ts';
import { podAddress } from '../node/source-pods.ts';

/** CNI plugins that Cilium's CNI file chains, and the folder in which container runtimes find them. */
interface ChainedPlugins {
  names: readonly string[];
  folder: string;
}

/**
 * Finds nodes that joined after the cutover and give no pod a network, although their agents are ready. The usual cause are
 * missing plugins: on the other nodes, Canal's installer wrote them.
 * @param working nodes that are Ready, with a ready agent.
 * @param pods all pods of the cluster.
 */
export async function findNodesWithoutNetwork(
  connection: ClusterConnection,
  working: readonly V1Node[],
  pods: readonly PodFacts[]
): Promise<RemovalFinding[]> {
  const waiting = listWaitingProbers(working, pods);
  if (waiting.length === 0) return [];
  const plugins = await readChainedPlugins(connection);
  return waiting.map((pod) => describeNode(pod, plugins));
}

/** Returns the probers without an address on nodes that joined after the cutover, which labels the nodes of Canal. */
function listWaitingProbers(working: readonly V1Node[], pods: readonly PodFacts[]): PodFacts[] {
  const isLabelled = ({ metadata }: V1Node): boolean => metadata?.labels?.[sourceAgentLabel] !== undefined;
  // Canal still runs everywhere, or nowhere.
  if (!working.some(isLabelled)) return [];
  const joined = new Set(working.filter((node) => !isLabelled(node)).map(({ metadata }) => metadata?.name));
  return pods
    .filter(({ namespace, labels }) => namespace === helperNamespace && labels['app'] === prober)
    .filter((pod) => joined.has(pod.node) && !pod.finished && pod.deletion === undefined)
    .filter((pod) => podAddress(pod) === undefined);
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
