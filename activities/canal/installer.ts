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

/** Folders in the container of the installer, whatever they are on the node (calico cni-plugin/pkg/install, v3.28). */
const installerConfigFolder = '/host/etc/cni/net.d';
const installerBinaryFolder = '/host/opt/cni/bin';

/** Name of the CNI file where the manifest sets none (calico cni-plugin/pkg/install, v3.28). */
const defaultConfigFile = '10-calico.conflist';

/**
 * Returns the paths to which Canal's installer writes: its mounts are followed to the folders of the node, whatever the
 * volumes are called.
 * @returns undefined when no container of Canal mounts both folders from the node.
 */
export function readCniPaths({ daemonSet }: Pick<CanalInstallation, 'daemonSet'>): CniPaths | undefined {
  const spec = daemonSet.spec?.template.spec;
  const container = findInstaller(spec);
  if (spec === undefined || container === undefined) return undefined;
  return {
    configFolder: hostFolder(spec, container, installerConfigFolder) ?? '',
    binaryFolder: hostFolder(spec, container, installerBinaryFolder) ?? '',
    configFile: environment(container, 'CNI_CONF_NAME')?.value ?? defaultConfigFile,
  };
}

/**
 * Reads the MTU in bytes that Canal is configured to give to pods, which it does not detect then.
 * @returns undefined when it is detected.
 */
export async function readConfiguredMtu(
  { core }: Pick<ClusterConnection, 'core'>,
  { daemonSet, namespace }: Pick<CanalInstallation, 'daemonSet' | 'namespace'>
): Promise<number | undefined> {
  const container = findInstaller(daemonSet.spec?.template.spec);
  const variable = container && environment(container, 'CNI_MTU');
  const { name = '', key = '' } = variable?.valueFrom?.configMapKeyRef ?? {};
  const text =
    name === '' ? variable?.value : (await ifFound(core.readNamespacedConfigMap({ name, namespace })))?.data?.[key];
  const mtu = Number(text ?? 0);
  return Number.isInteger(mtu) && mtu > 0 ? mtu : undefined;
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
  return parts.map((part) => part.replaceAll(/^\/+|\/+$/g, '')).reduce((all, part) => (part === '' ? all : `${all}/${part}`), '');
}

function environment({ env = [] }: V1Container, name: string): V1EnvVar | undefined {
  return env.find((variable) => variable.name === name);
}
