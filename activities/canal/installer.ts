import type { V1Container, V1EnvVar, V1PodSpec } from '@kubernetes/client-node';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import type { CanalInstallation } from './detect.ts';

/** Paths on the nodes to which Canal's installer of the CNI plugin writes. */
export interface CniPaths {
  /** Folder of the CNI files. */
  configFolder: string;
  /** Folder of the plugins. */
  binaryFolder: string;
  /** Name of Canal's CNI file. */
  configFile: string;
}

/** Folders in the container of the installer; the folders of the node may differ (calico cni-plugin/pkg/install, v3.28). */
const installerConfigFolder = '/host/etc/cni/net.d';
const installerBinaryFolder = '/host/opt/cni/bin';

/** Name of the CNI file where the manifest sets none (calico cni-plugin/pkg/install, v3.28). */
const defaultConfigFile = '10-calico.conflist';

/**
 * Returns the paths to which Canal's installer writes: its mounts are followed to the folders of the node, and the
 * names of volumes do not matter.
 * @returns undefined when no container of Canal mounts both folders from the node.
 */
export function readCniPaths({ daemonSet }: Pick<CanalInstallation, 'daemonSet'>): CniPaths | undefined {
  const spec = daemonSet.spec?.template.spec;
  const container = findInstaller(spec);
  if (spec === undefined || container === undefined) return undefined;
  return {
    configFolder: hostFolder(spec, container, installerConfigFolder) ?? '',
    binaryFolder: hostFolder(spec, container, installerBinaryFolder) ?? '',
    configFile: findVariable(container, 'CNI_CONF_NAME')?.value ?? defaultConfigFile,
  };
}

/**
 * Reads the MTU in bytes that Canal is configured to give to pods, which it does not detect then.
 * @returns undefined when it is detected.
 */
export async function readConfiguredMtu(
  connection: Pick<ClusterConnection, 'core'>,
  canal: Pick<CanalInstallation, 'daemonSet' | 'namespace'>
): Promise<number | undefined> {
  const container = findInstaller(canal.daemonSet.spec?.template.spec);
  const mtu = Number((await readVariable(connection, canal.namespace, container, 'CNI_MTU')) ?? 0);
  return Number.isInteger(mtu) && mtu > 0 ? mtu : undefined;
}

/** Reads the value of an environment variable, which may be from a ConfigMap. */
async function readVariable(
  { core }: Pick<ClusterConnection, 'core'>,
  namespace: string,
  container: V1Container | undefined,
  variableName: string
): Promise<string | undefined> {
  const variable = container && findVariable(container, variableName);
  const { name = '', key = '' } = variable?.valueFrom?.configMapKeyRef ?? {};
  if (name === '') return variable?.value;
  return (await ifFound(core.readNamespacedConfigMap({ name, namespace })))?.data?.[key];
}

/** How Flannel chooses the address to which other nodes send the packets of its overlay. */
export interface FlannelAddressing {
  /** Annotation of Nodes that contains the address. */
  annotation: string;
  /** Interface or address that is configured; undefined when Flannel uses that of the default route. */
  configuredInterface: string | undefined;
}

/** Reads how Flannel chooses its address (flannel pkg/subnet/kube/annotations.go and main.go, v0.28). */
export async function readFlannelAddressing(
  connection: Pick<ClusterConnection, 'core'>,
  { daemonSet, namespace }: Pick<CanalInstallation, 'daemonSet' | 'namespace'>
): Promise<FlannelAddressing> {
  const container = daemonSet.spec?.template.spec?.containers.find(({ name }) => name === 'kube-flannel');
  const words = [...(container?.command ?? []), ...(container?.args ?? [])];
  const flag = (name: string): string | undefined => {
    const index = words.findIndex((word) => new RegExp(`^--?${name}(=|$)`).test(word));
    return index < 0 ? undefined : words[index]?.includes('=') === true ? words[index].split('=')[1] : words[index + 1];
  };
  const prefix = flag('kube-annotation-prefix') ?? 'flannel.alpha.coreos.com';
  const variable = await readVariable(connection, namespace, container, 'FLANNELD_IFACE');
  return {
    annotation: `${prefix}${prefix.includes('/') ? '' : '/'}public-ip`,
    configuredInterface: flag('iface') ?? (variable === '' ? undefined : variable),
  };
}

function findInstaller(spec: V1PodSpec | undefined): V1Container | undefined {
  const containers = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])];
  return containers.find(
    (container) =>
      spec !== undefined &&
      hostFolder(spec, container, installerConfigFolder) !== undefined &&
      hostFolder(spec, container, installerBinaryFolder) !== undefined
  );
}

/** Returns the folder of the node that a container sees as `folder`; undefined when it is not mounted from the node. */
function hostFolder(spec: V1PodSpec, container: V1Container, folder: string): string | undefined {
  const trim = (path: string): string => path.replace(/\/+$/, '');
  const [mount] = (container.volumeMounts ?? [])
    .filter(({ mountPath }) => folder === trim(mountPath) || folder.startsWith(`${trim(mountPath)}/`))
    .sort((a, b) => b.mountPath.length - a.mountPath.length);
  const path = spec.volumes?.find(({ name }) => name === mount?.name)?.hostPath?.path;
  if (mount === undefined || path === undefined) return undefined;
  const parts = [trim(path), mount.subPath ?? '', folder.slice(trim(mount.mountPath).length)];
  return parts
    .map((part) => part.replaceAll(/^\/+|\/+$/g, ''))
    .reduce((all, part) => (part === '' ? all : `${all}/${part}`), '');
}

function findVariable({ env = [] }: V1Container, name: string): V1EnvVar | undefined {
  return env.find((variable) => variable.name === name);
}
