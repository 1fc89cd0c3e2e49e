import type { V1DaemonSet, V1PodSpec } from '@kubernetes/client-node';
import type { ClusterFacts } from '../../model/cluster-facts.ts';
import { failure } from '../support/failures.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import { ciliumNamespace as systemNamespace } from '../kubernetes/names.ts';
import { objectKey } from '../kubernetes/object-key.ts';
import { allPages } from '../kubernetes/pagination.ts';
import { summarizeList } from '../../model/summarize.ts';

/** Canal's installation in a cluster. */
export interface CanalInstallation {
  daemonSet: V1DaemonSet;
  namespace: string;
  name: string;
  /** Name of the ConfigMap with Flannel's `net-conf.json`. It may be missing: see {@link readCanalFacts}. */
  configMap: string;
}

/** Facts about Canal that a migration needs. */
export type CanalFacts = NonNullable<ClusterFacts['canal']>;

/** Flannel's own defaults for VXLAN (flannel Documentation/backends.md). */
const defaultVni = 1;
const defaultPort = 8472;

/** Names of the containers by which Canal is recognised (calico manifests/canal.yaml). */
export const canalContainers = ['calico-node', 'kube-flannel'] as const;

/** Describes what was looked for, in the messages about a Canal that was not found. */
export const canalDescription = `DaemonSet with the containers ${canalContainers.join(' and ')}`;

/** Maximum number of candidates that one message names. */
const maxNamedCandidates = 10;

/** Returns the namespaces in which Canal is recognised: that of Kubernetes' own components, and those of the worker's file. */
export function listCanalNamespaces({ canalNamespaces = [] }: Pick<ClusterConnection, 'canalNamespaces'>): string[] {
  return [...new Set([systemNamespace, ...canalNamespaces])];
}

/**
 * Finds Canal: the only DaemonSet with the containers of Calico's node agent and of Flannel, in the namespaces in which
 * Canal is recognised. Tenants may create such a DaemonSet in any other namespace, so these are never read. Reads nothing
 * else, so that it still finds Canal during its removal, which removes the DaemonSet last.
 * @returns undefined when there is none.
 * @throws SourceAmbiguous naming all of them when there are several.
 * @throws SourceNotFound when the DaemonSet does not name a ConfigMap with Flannel's configuration.
 */
export async function findCanal(
  connection: Pick<ClusterConnection, 'apps' | 'canalNamespaces'>
): Promise<CanalInstallation | undefined> {
  const lists = await Promise.all(
    listCanalNamespaces(connection).map((namespace) =>
      allPages((page) => connection.apps.listNamespacedDaemonSet({ namespace, ...page }))
    )
  );
  const candidates = lists.flat().filter(isCanalCandidate);
  const [daemonSet] = candidates;
  if (daemonSet === undefined) return undefined;
  if (candidates.length > 1) throw failure('SourceAmbiguous', describeSeveral(candidates));
  const { name = '', namespace = '' } = daemonSet.metadata ?? {};
  const configMap = flannelConfigMap(daemonSet.spec?.template.spec);
  if (configMap === undefined)
    throw failure('SourceNotFound', `DaemonSet ${namespace}/${name} looks like Canal but has no volume flannel-cfg`);
  return { daemonSet, namespace, name, configMap };
}

/** DaemonSets that look like Canal, by whether their namespace is one in which Canal is recognised. */
interface CanalCandidates {
  recognised: V1DaemonSet[];
  ignored: V1DaemonSet[];
}

/** Returns the DaemonSets of all namespaces that look like Canal. */
export function findCandidates(
  connection: Pick<ClusterConnection, 'canalNamespaces'>,
  daemonSets: readonly V1DaemonSet[]
): CanalCandidates {
  const namespaces = listCanalNamespaces(connection);
  const candidates = daemonSets.filter(isCanalCandidate);
  const isRecognised = ({ metadata }: V1DaemonSet): boolean => namespaces.includes(metadata?.namespace ?? '');
  return {
    recognised: candidates.filter(isRecognised),
    ignored: candidates.filter((candidate) => !isRecognised(candidate)),
  };
}

/** Describes several DaemonSets of which only one can be the network. */
export function describeSeveral(candidates: readonly V1DaemonSet[]): string {
  const names = summarizeList(candidates.map(objectKey).sort(), maxNamedCandidates);
  return `${candidates.length} DaemonSets look like Canal: ${names}; remove those that do not run the network`;
}

/** Describes the DaemonSets that look like Canal but are in a namespace in which it is not recognised. */
export function describeIgnored(
  connection: Pick<ClusterConnection, 'canalNamespaces'>,
  ignored: readonly V1DaemonSet[]
): string {
  const names = summarizeList(ignored.map(objectKey), maxNamedCandidates);
  return `ignored, because Canal is recognised only in ${listCanalNamespaces(connection).join(', ')}: ${names}`;
}

function isCanalCandidate({ spec }: V1DaemonSet): boolean {
  const names = (spec?.template.spec?.containers ?? []).map(({ name }) => name);
  return canalContainers.every((container) => names.includes(container));
}

/**
 * Reads Canal's ConfigMap, which its removal deletes first: a missing one means that the removal has started.
 * @returns undefined when it does not exist.
 */
export async function readCanalConfig(
  { core }: ClusterConnection,
  { configMap, namespace }: CanalInstallation
): Promise<Record<string, string> | undefined> {
  const object = await ifFound(core.readNamespacedConfigMap({ name: configMap, namespace }));
  return object === undefined ? undefined : (object.data ?? {});
}

/**
 * Reads the facts about Canal that a migration needs.
 * @throws SourceNotFound when the ConfigMap does not exist, or when Flannel uses a backend other than VXLAN.
 */
export async function readCanalFacts(connection: ClusterConnection, canal: CanalInstallation): Promise<CanalFacts> {
  const { configMap, namespace, name } = canal;
  const config = await readCanalConfig(connection, canal);
  if (config === undefined) {
    const advice = 'apply the manifest of Canal again';
    const message = `ConfigMap ${namespace}/${configMap}, which DaemonSet ${namespace}/${name} mounts, does not exist; ${advice}`;
    throw failure('SourceNotFound', message);
  }
  return buildCanalFacts(canal, config);
}

/**
 * Builds the facts about Canal from its DaemonSet and its ConfigMap.
 * @throws SourceNotFound when it is not a configuration of Canal on VXLAN.
 */
export function buildCanalFacts(
  { daemonSet, configMap, namespace }: CanalInstallation,
  config: Readonly<Record<string, string>>
): CanalFacts {
  const location = `ConfigMap ${namespace}/${configMap}`;
  return {
    version: calicoVersion(daemonSet.spec?.template.spec),
    ...parseNetConf(config['net-conf.json'], location),
  };
}

/** Returns the name of the ConfigMap with Flannel's configuration, as Canal's pods mount it. */
function flannelConfigMap(spec: V1PodSpec | undefined): string | undefined {
  return spec?.volumes?.find((volume) => volume.name === 'flannel-cfg')?.configMap?.name;
}

/** Returns Calico's version: the tag of its image. */
function calicoVersion(spec: V1PodSpec | undefined): string {
  const image = spec?.containers.find((container) => container.name === 'calico-node')?.image ?? '';
  return image.split(':').at(-1) ?? '';
}

/**
 * Parses Flannel's configuration.
 * @throws SourceNotFound when it is not a configuration of Canal on VXLAN.
 */
export function parseNetConf(
  text: string | undefined,
  location: string
): { podCidr: string; vni: number; port: number } {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text ?? '');
  } catch {
    throw failure('SourceNotFound', `${location} has no readable net-conf.json`);
  }
  const conf = parsed as { Network?: unknown; Backend?: { Type?: unknown; VNI?: unknown; Port?: unknown } } | null;
  const type = conf?.Backend?.Type;
  if (type !== 'vxlan') {
    throw failure(
      'SourceNotFound',
      `${location}: Flannel's backend is ${JSON.stringify(type)}; only vxlan can be migrated`
    );
  }
  if (typeof conf?.Network !== 'string') throw failure('SourceNotFound', `${location}: net-conf.json names no Network`);
  const number = (value: unknown, otherwise: number): number =>
    typeof value === 'number' && value > 0 ? value : otherwise;
  return {
    podCidr: conf.Network,
    vni: number(conf.Backend?.VNI, defaultVni),
    port: number(conf.Backend?.Port, defaultPort),
  };
}
