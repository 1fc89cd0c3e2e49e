import type { V1DaemonSet, V1PodSpec } from '@kubernetes/client-node';
import type { ClusterFacts } from '../../model/cluster-facts.ts';
import { failure } from '../support/failures.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';

/** Canal's installation in a cluster. */
export interface CanalInstallation {
  daemonSet: V1DaemonSet;
  namespace: string;
  name: string;
  /** Name of the ConfigMap with Flannel's `net-conf.json`. It may be missing: see {@link readCanalFacts}. */
  configMap: string;
}

/** Folders of a node in which Canal's installer writes, as absolute paths. */
export interface CniFolders {
  /** Folder of the CNI files, from which the container runtime reads its configuration. */
  config: string;
  /** Folder of the plugins. */
  plugins: string;
}

/** Facts about Canal that a migration needs. */
export type CanalFacts = NonNullable<ClusterFacts['canal']>;

/** Flannel's own defaults for VXLAN (flannel Documentation/backends.md). */
const defaultVni = 1;
const defaultPort = 8472;

/**
 * Finds Canal: a DaemonSet with the containers of Calico's node agent and of Flannel (calico manifests/canal.yaml). Reads
 * nothing else, so that it still finds Canal during its removal, which removes the DaemonSet last.
 * @returns undefined when there is none.
 * @throws SourceNotFound when the DaemonSet does not name a ConfigMap with Flannel's configuration.
 */
export async function findCanal({ apps }: Pick<ClusterConnection, 'apps'>): Promise<CanalInstallation | undefined> {
  const { items } = await apps.listDaemonSetForAllNamespaces({});
  const daemonSet = items.find((item) => {
    const names = (item.spec?.template.spec?.containers ?? []).map((container) => container.name);
    return names.includes('calico-node') && names.includes('kube-flannel');
  });
  if (daemonSet === undefined) return undefined;
  const { name = '', namespace = '' } = daemonSet.metadata ?? {};
  const configMap = flannelConfigMap(daemonSet.spec?.template.spec);
  if (configMap === undefined)
    throw failure('SourceNotFound', `DaemonSet ${namespace}/${name} looks like Canal but has no volume flannel-cfg`);
  return { daemonSet, namespace, name, configMap };
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

/** Paths of the folders within Calico's installer (calico cni-plugin/pkg/install/install.go). */
const installerPaths: CniFolders = { config: '/host/etc/cni/net.d', plugins: '/host/opt/cni/bin' };

/** Usual folders of the container runtimes, and defaults of the scripts on nodes. */
export const defaultCniFolders: CniFolders = { config: '/etc/cni/net.d', plugins: '/opt/cni/bin' };

/**
 * Returns the folders of a node that Canal's installer writes to: the volumes that a container mounts where the installer
 * expects them, whatever the volumes are called. A folder that no container mounts is the usual one.
 * @throws SourceNotFound when a volume is not a folder of the node.
 */
export function readCniFolders({ daemonSet, namespace, name }: CanalInstallation): CniFolders {
  const spec = daemonSet.spec?.template.spec;
  const mounts = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].flatMap(
    ({ volumeMounts = [] }) => volumeMounts
  );
  const folder = (mountPath: string, usual: string): string => {
    const mount = mounts.find((candidate) => withoutEndingSlash(candidate.mountPath) === mountPath);
    if (mount === undefined) return usual;
    const path = spec?.volumes?.find((volume) => volume.name === mount.name)?.hostPath?.path;
    if (path?.startsWith('/') === true) return withoutEndingSlash(path);
    const message = `DaemonSet ${namespace}/${name} mounts volume ${mount.name} at ${mountPath}, which is no folder of the node`;
    throw failure('SourceNotFound', message);
  };
  return {
    config: folder(installerPaths.config, defaultCniFolders.config),
    plugins: folder(installerPaths.plugins, defaultCniFolders.plugins),
  };
}

function withoutEndingSlash(path: string): string {
  return path.replace(/\/+$/, '');
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
