import { randomUUID } from 'node:crypto';
import type { V1Node, V1Pod } from '@kubernetes/client-node';
import { summarizeList } from '../../model/summarize.ts';
import { limitedMemory, rootWith } from '../helpers/container-security.ts';
import { applyNamespace } from '../helpers/namespace.ts';
import { removeNamespace } from '../helpers/namespace-removal.ts';
import {
  findPodFailure,
  oneShotPodName,
  removeOneShotPods,
  startOneShotPod,
  terminatedContainer,
  waitForOneShotPods,
  waitingReason,
  type OneShotPod,
} from '../helpers/one-shot-pod.ts';
import { buildProbeKey } from '../helpers/probe-key.ts';
import type { CniPaths } from '../canal/installer.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound, errorMessage } from '../kubernetes/errors.ts';
import { helperNamespace as namespace } from '../kubernetes/names.ts';
import { readNamespaceState } from '../kubernetes/own-namespace.ts';
import { isReady } from '../kubernetes/conditions.ts';
import { prober } from '../helpers/prober-ports.ts';
import { readUnfinished } from '../helpers/unfinished.ts';
import { mapLimit } from '../support/map-limit.ts';

/** Facts about a node's kernel and network; the fields are those of images/prober/inspect.go. */
export interface HostFacts {
  btf: boolean;
  /** Reverse path filter by interface. */
  rpFilter: Record<string, number>;
  links: HostLink[];
  /** IPv4 routes, as "CIDR dev LINK". */
  routes: string[];
  /** Plugins by name of the CNI file, of the folder to which Canal's installer writes. */
  cniFiles: Record<string, string[]>;
  /** Error of reading that folder. */
  cniError?: string;
  /** CNI versions of the plugins that Canal's CNI file chains, by plugin. */
  chainedPlugins?: Record<string, PluginVersions>;
  /** Configuration of kube-proxy; undefined when none answers at its default metrics address. */
  kubeProxy?: HostKubeProxy;
  /** True when the kernel has nftables; undefined when that is unknown. */
  nftables?: boolean;
  /** Error when the tunnel's port could not be opened. */
  portTaken?: string;
  /** Nodes to which packets were sent, with an error where no reply arrived. */
  peers: { node: string; error?: string }[];
  /** Reason why the facts are unknown; the other fields are then empty. */
  unread?: string;
}

/** CNI versions that a plugin supports, or the reason why they are unknown. */
export interface PluginVersions {
  versions?: string[];
  error?: string;
}

/** Configuration with which a node's kube-proxy runs, as it reports it. */
export interface HostKubeProxy {
  mode: string;
  detectLocalMode: string;
  clusterCidrs: string[];
  masqueradeBit?: number;
}

/** A network interface of a node. */
export interface HostLink {
  name: string;
  mtu: number;
  up: boolean;
  addresses?: string[];
  kind?: string;
  vni?: number;
  port?: number;
}

/** Time in seconds in which a peer has to reply once both pods run. */
const peerTimeoutSeconds = 25;

/** Time in ms in which a pod has to report its facts; its image may have to be pulled first. */
const reportTimeoutMs = 180_000;

/**
 * Maximum number of nodes for a full mesh. Above it, each node sends packets to the nodes that are 1, 2, 4, … positions
 * further.
 */
const maxFullMeshNodes = 10;
const peerOffsets = [1, 2, 4, 8, 16, 32];

/** Maximum number of pods that are created in parallel. */
const maxParallelPods = 10;

/** Maximum size of a report, in bytes: it contains every route and every interface of a node, except those of pods. */
const maxReportBytes = 4_000_000;

const label = 'inspect';

/** Options of {@link readHosts}. */
export interface InspectionOptions {
  /** Image of the prober. */
  image: string;
  /** UDP port of the new overlay. */
  udpPort: number;
  /**
   * Paths that are inspected.
   * @default the usual ones, for a cluster without Canal
   */
  cni?: CniPaths | undefined;
}

/** Folders of the CNI specification's examples, which container runtimes use by default. */
const defaultCniPaths: CniPaths = { configFolder: '/etc/cni/net.d', binaryFolder: '/opt/cni/bin', configFile: '' };

/** Folders in the inspection pod. */
const podConfigFolder = '/host/cni/net.d';
const podBinaryFolder = '/host/cni/bin';

/**
 * Reads the facts of every Ready node from a short-lived, unprivileged pod on its network, which also sends packets to
 * the other nodes. After all pods have reported, the caller must call {@link removeInspectors}.
 */
export async function readHosts(
  connection: ClusterConnection,
  nodes: readonly V1Node[],
  { image, udpPort, cni = defaultCniPaths }: InspectionOptions
): Promise<Map<string, HostFacts>> {
  const targets = nodes
    .filter((node) => isReady(node))
    .map((node) => ({ name: node.metadata?.name ?? '', ip: internalAddress(node) ?? '' }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  await applyNamespace(connection);
  // Their own: there are no probers before a migration.
  const key = buildProbeKey(randomUUID());
  await mapLimit(maxParallelPods, [...targets.entries()], async ([index, { name }]) => {
    const peers = meshPeers(targets, index);
    await startOneShotPod(connection, inspectionPod(name, image, udpPort, peers, key, cni));
  });
  return collectFacts(
    connection,
    targets.map(({ name }) => name)
  );
}

/**
 * Removes the inspection pods, and our namespace, unless a migration uses it or it records nodes that remain. Changes
 * nothing in a namespace that is not ours.
 */
export async function removeInspectors(connection: ClusterConnection): Promise<void> {
  if ((await readNamespaceState(connection)).state === 'foreign') return;
  await removeOneShotPods(connection, label);
  const probers = await ifFound(connection.apps.readNamespacedDaemonSet({ name: prober, namespace }));
  const isNeeded = probers !== undefined || (await readUnfinished(connection)) !== undefined;
  if (!isNeeded) await removeNamespace(connection);
}

/**
 * Returns the peers of a node: all others in a small cluster, otherwise a sample that reaches every node indirectly.
 */
export function meshPeers<T>(all: readonly T[], index: number): T[] {
  if (all.length <= maxFullMeshNodes) return all.filter((_, other) => other !== index);
  const peerIndexes = peerOffsets
    .filter((offset) => offset < all.length)
    .map((offset) => (index + offset) % all.length);
  return all.filter((_, other) => peerIndexes.includes(other));
}

/** Returns the interface of a node that has the address; undefined when none has, or when it was not inspected. */
export function findInterface(host: HostFacts | undefined, address: string | undefined): HostLink | undefined {
  return host?.links.find(({ addresses = [] }) => addresses.some((cidr) => cidr.split('/')[0] === address));
}

/** Returns a node's IPv4 address within the cluster. */
export function internalAddress({ status }: V1Node): string | undefined {
  return status?.addresses?.find(({ type, address }) => type === 'InternalIP' && address.includes('.'))?.address;
}

async function collectFacts(connection: ClusterConnection, names: readonly string[]): Promise<Map<string, HostFacts>> {
  const factsByNode = new Map<string, HostFacts>();
  const deadline = Date.now() + reportTimeoutMs;
  await waitForOneShotPods(
    connection,
    { app: label },
    async (pods) => {
      const waiting: string[] = [];
      for (const node of names.filter((name) => !factsByNode.has(name))) {
        const pod = pods.find(({ metadata }) => metadata?.name === oneShotPodName({ app: label, node }));
        const facts = await readFacts(connection, pod);
        if (facts.unread !== undefined) waiting.push(`${node} (${facts.unread})`);
        const final = facts.unread === undefined || (pod !== undefined && findPodFailure(pod) !== undefined);
        if (final || Date.now() > deadline) factsByNode.set(node, facts);
      }
      return waiting.length === 0 || factsByNode.size === names.length
        ? { done: undefined }
        : { waitingFor: `the reports of inspection pods in ${namespace}: ${summarizeList(waiting)}` };
    },
    { timeoutMs: reportTimeoutMs + 60_000, onTimeout: 'NodeNotReady' }
  );
  // In the order of the nodes, and not in that of the reports, so that the same facts give the same evidence.
  return new Map(names.map((node) => [node, factsByNode.get(node) ?? unreadHost('no report')]));
}

/** Returns the facts of a node that could not be read. */
export function unreadHost(reason: string): HostFacts {
  return { btf: false, rpFilter: {}, links: [], routes: [], cniFiles: {}, peers: [], unread: reason };
}

/** Reads the facts that a pod has written, or the reason why there are none yet. */
async function readFacts({ core }: ClusterConnection, pod: V1Pod | undefined): Promise<HostFacts> {
  if (pod?.status?.phase !== 'Running') return unreadHost(unreadReason(pod));
  try {
    const name = pod.metadata?.name ?? '';
    const log = await core.readNamespacedPodLog({ name, namespace, limitBytes: maxReportBytes });
    const line = log.split('\n').find((text) => text.startsWith('{'));
    return line === undefined ? unreadHost(unreadReason(pod)) : (JSON.parse(line) as HostFacts);
  } catch (error) {
    return unreadHost(`its log cannot be read: ${errorMessage(error)}`);
  }
}

function unreadReason(pod: V1Pod | undefined): string {
  const failed = pod && findPodFailure(pod);
  const { phase = 'not created yet' } = pod?.status ?? {};
  return failed ?? waitingReason(pod) ?? terminatedContainer(pod)?.message ?? phase;
}

/**
 * Describes the pod that reads the facts of a node. It has no privileges, and only reads.
 * @param key what the pods share, so that they answer each other only; any is valid for a dry run.
 */
export function inspectionPod(
  node: string,
  image: string,
  udpPort: number,
  peers: readonly { name: string; ip: string }[],
  key: string,
  cni: CniPaths = defaultCniPaths
): OneShotPod {
  const env = {
    UDP_PORT: String(udpPort),
    PROBE_KEY: key,
    PEER_SECONDS: String(peerTimeoutSeconds),
    PEERS: JSON.stringify(peers.map(({ name, ip }) => ({ Node: name, IP: ip }))),
    HOST_CNI: podConfigFolder,
    HOST_CNI_BIN: podBinaryFolder,
    CNI_FILE: cni.configFile,
  };
  return {
    app: label,
    node,
    container: {
      name: label,
      image,
      args: ['inspect'],
      env: Object.entries(env).map(([name, value]) => ({ name, value })),
      // CNI files are often readable for root only.
      securityContext: rootWith(),
      resources: limitedMemory('128Mi'),
      volumeMounts: [
        { name: 'cni', mountPath: podConfigFolder, readOnly: true },
        { name: 'cni-bin', mountPath: podBinaryFolder, readOnly: true },
      ],
    },
    spec: {
      hostNetwork: true,
      volumes: [
        { name: 'cni', hostPath: { path: cni.configFolder } },
        { name: 'cni-bin', hostPath: { path: cni.binaryFolder } },
      ],
    },
  };
}
