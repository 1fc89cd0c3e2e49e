import type { V1Container, V1Pod, V1PodSpec } from '@kubernetes/client-node';
import { parse } from 'yaml';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { errorMessage, ifFound } from '../kubernetes/errors.ts';
import { ciliumNamespace as namespace } from '../kubernetes/names.ts';
import { allPages } from '../kubernetes/pagination.ts';
import type { HostFacts, HostKubeProxy } from './host-facts.ts';

/** Prefix of the names of kube-proxy's pods, of a DaemonSet or static ones. */
export const kubeProxyPrefix = 'kube-proxy';

/** Configuration of kube-proxy, with its defaults (kubernetes pkg/proxy/apis/config, v1.36). */
export interface KubeProxyConfiguration {
  /** `iptables`, `ipvs` or `nftables`. */
  mode: string;
  /** How it detects traffic from pods: `ClusterCIDR`, `NodeCIDR`, `BridgeInterface` or `InterfaceNamePrefix`. */
  detectLocalMode: string;
  /** CIDRs of pods, for `ClusterCIDR`. */
  clusterCidrs: string[];
  /** Bit of the mark on packets that it masquerades. */
  masqueradeBit: number;
}

/** Configurations of all nodes' kube-proxies. */
export interface KubeProxies {
  configurations: { configuration: KubeProxyConfiguration; source: string; nodes: string[] }[];
  /** Pods, or nodes, whose configuration could not be read, with the reason. */
  unknown: string[];
}

/** Masquerade bit where none is configured. */
export const defaultMasqueradeBit = 14;

/**
 * Reads the configuration of kube-proxy on every node. The running kube-proxy reports it, where nodes are inspected;
 * otherwise it is read from the pods: from the ConfigMap to which `--config` leads, or from their flags.
 */
export async function readKubeProxies(
  connection: Pick<ClusterConnection, 'core'>,
  hosts: ReadonlyMap<string, HostFacts> | undefined
): Promise<KubeProxies> {
  const groups = new Map<string, KubeProxies['configurations'][number]>();
  const unknown: string[] = [];
  const add = (configuration: KubeProxyConfiguration, source: string, node: string): void => {
    const key = JSON.stringify([configuration, source]);
    const group = groups.get(key) ?? { configuration, source, nodes: [] };
    groups.set(key, { ...group, nodes: [...group.nodes, node] });
  };
  for (const [node, { kubeProxy }] of hosts ?? [])
    if (kubeProxy !== undefined) add(fromHost(kubeProxy), 'as it runs', node);
  const reader = new ConfigMapReader(connection);
  for (const { key, node, spec } of await listPodSpecs(connection)) {
    if (hosts?.get(node)?.kubeProxy !== undefined) continue;
    try {
      const { configuration, source } = await declaredConfiguration(spec, reader);
      add(configuration, source, node);
    } catch (error) {
      unknown.push(`${key}: ${errorMessage(error)}`);
    }
  }
  return { configurations: [...groups.values()], unknown };
}

/** Returns a configuration in one line, for evidence. */
export function kubeProxyText({ mode, detectLocalMode, clusterCidrs }: KubeProxyConfiguration): string {
  return `mode ${mode}, detectLocalMode ${detectLocalMode}, clusterCIDR ${clusterCidrs.join(',') || 'unset'}`;
}

async function listPodSpecs({ core }: Pick<ClusterConnection, 'core'>) {
  const reduce = ({ metadata, spec }: V1Pod) => ({
    key: `${namespace}/${metadata?.name}`,
    node: spec?.nodeName ?? '',
    spec: spec ?? { containers: [] },
  });
  return allPages(async (page) => {
    const list = await core.listNamespacedPod({ ...page, namespace });
    const proxies = list.items.filter(({ metadata }) => metadata?.name?.startsWith(kubeProxyPrefix) === true);
    return { ...list, items: proxies.map(reduce) };
  });
}

function withDefaults({
  mode = '',
  detectLocalMode = '',
  clusterCidrs = [],
  masqueradeBit = defaultMasqueradeBit,
}: Partial<KubeProxyConfiguration>): KubeProxyConfiguration {
  return {
    mode: mode === '' ? 'iptables' : mode,
    detectLocalMode: detectLocalMode === '' ? 'ClusterCIDR' : detectLocalMode,
    clusterCidrs,
    masqueradeBit,
  };
}

function fromHost({ masqueradeBit, ...rest }: HostKubeProxy): KubeProxyConfiguration {
  return withDefaults({ ...rest, ...(masqueradeBit !== undefined && { masqueradeBit }) });
}

/** Returns the configuration that a pod of kube-proxy is given. */
async function declaredConfiguration(
  spec: V1PodSpec,
  reader: ConfigMapReader
): Promise<{ configuration: KubeProxyConfiguration; source: string }> {
  const flags = readFlags(spec.containers);
  if (flags === undefined) throw new Error('its pod shows no command');
  const file = flags.get('config');
  // With a file, kube-proxy ignores the flags that the file contains (kubernetes cmd/kube-proxy/app/options.go).
  if (file !== undefined) {
    const { text, source } = await reader.readFile(spec, file);
    return { configuration: parseKubeProxyConfig(text), source };
  }
  const mode = flags.get('proxy-mode') ?? '';
  // There is no such flag for nftables.
  const bit = mode === 'nftables' ? undefined : flags.get('iptables-masquerade-bit');
  const configuration = withDefaults({
    mode,
    detectLocalMode: flags.get('detect-local-mode') ?? '',
    clusterCidrs: splitCidrs(flags.get('cluster-cidr')),
    ...(bit !== undefined && { masqueradeBit: Number(bit) }),
  });
  return { configuration, source: 'flags' };
}

/** Parses kube-proxy's configuration file. */
export function parseKubeProxyConfig(text: string): KubeProxyConfiguration {
  const config = (parse(text) ?? {}) as {
    mode?: string;
    detectLocalMode?: string;
    clusterCIDR?: string;
    iptables?: { masqueradeBit?: number | null } | null;
    nftables?: { masqueradeBit?: number | null } | null;
  };
  const { masqueradeBit } = (config.mode === 'nftables' ? config.nftables : config.iptables) ?? {};
  return withDefaults({
    mode: config.mode ?? '',
    detectLocalMode: config.detectLocalMode ?? '',
    clusterCidrs: splitCidrs(config.clusterCIDR),
    ...(typeof masqueradeBit === 'number' && { masqueradeBit }),
  });
}

function splitCidrs(text: string | undefined): string[] {
  return (text ?? '')
    .split(',')
    .map((cidr) => cidr.trim())
    .filter(Boolean);
}

/** Reads the flags of the container that runs kube-proxy, also within a shell command; undefined without a command. */
function readFlags(containers: readonly V1Container[]): Map<string, string> | undefined {
  const commands = containers.map(({ command = [], args = [] }) =>
    [...command, ...args].join(' ').split(/\s+/).filter(Boolean)
  );
  const words = commands.find((command) => command.some((word) => word.includes('kube-proxy'))) ?? commands[0] ?? [];
  if (words.length === 0) return undefined;
  const flags = new Map<string, string>();
  for (const [index, word] of words.entries()) {
    const [, name, value] = /^--?([a-z-]+)(?:=(.*))?$/.exec(word) ?? [];
    if (name !== undefined) flags.set(name, (value ?? words[index + 1] ?? '').replaceAll(/^["']|["']$/g, ''));
  }
  return flags;
}

/** Reads files that pods mount from ConfigMaps, each ConfigMap once. */
class ConfigMapReader {
  readonly #core: ClusterConnection['core'];
  readonly #maps = new Map<string, Promise<Record<string, string> | undefined>>();

  constructor({ core }: Pick<ClusterConnection, 'core'>) {
    this.#core = core;
  }

  /**
   * Returns the text of a file as the pod sees it, and where it is from.
   * @throws {Error} when it is not from a ConfigMap.
   */
  async readFile(spec: V1PodSpec, file: string): Promise<{ text: string; source: string }> {
    const { name, key } = findConfigMapFile(spec, file);
    const text = (await this.#readMap(name))?.[key];
    if (text === undefined) throw new Error(`ConfigMap ${namespace}/${name} has no ${key}`);
    return { text, source: `ConfigMap ${namespace}/${name}` };
  }

  #readMap(name: string): Promise<Record<string, string> | undefined> {
    const pending =
      this.#maps.get(name) ??
      ifFound(this.#core.readNamespacedConfigMap({ name, namespace })).then((map) => map && (map.data ?? {}));
    this.#maps.set(name, pending);
    return pending;
  }
}

/**
 * Finds the ConfigMap and its key from which a file of a pod is.
 * @throws {Error} when it is not from a ConfigMap.
 */
function findConfigMapFile({ containers, volumes = [] }: V1PodSpec, file: string): { name: string; key: string } {
  const folder = ({ mountPath }: { mountPath: string }): string => `${mountPath.replace(/\/+$/, '')}/`;
  const mount = containers
    .flatMap(({ volumeMounts = [] }) => volumeMounts)
    .find((each) => file.startsWith(folder(each)));
  const configMap = volumes.find(({ name }) => name === mount?.name)?.configMap;
  if (mount === undefined || configMap?.name === undefined) throw new Error(`its file ${file} is not from a ConfigMap`);
  const path = file.slice(folder(mount).length);
  return { name: configMap.name, key: configMap.items?.find((item) => item.path === path)?.key ?? path };
}
