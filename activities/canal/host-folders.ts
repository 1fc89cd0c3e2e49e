import { cniChainName } from '../../model/names.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import { ciliumNamespace, hostFoldersAnnotation } from '../kubernetes/names.ts';
import { findAddressStore } from './cni-chain.ts';
import { findCanal, readCanalConfig } from './detect.ts';
import { readCniPaths } from './installer.ts';

/** Folders of a node that scripts work in, as absolute paths. */
export interface HostFolders {
  /** Folder of the CNI files, from which the container runtime reads its configuration. */
  config: string;
  /** Folder of the plugins. */
  plugins: string;
  /** Folder with one file for each address that the source's IPAM has assigned; null when its IPAM has none. */
  addresses: string | null;
}

/** Folders of Calico's manifest, for a migration of a release that recorded none. */
export const defaultHostFolders: HostFolders = {
  config: '/etc/cni/net.d',
  plugins: '/opt/cni/bin',
  addresses: '/var/lib/cni/networks/k8s-pod-network',
};

/** Reads the folders from Canal's DaemonSet and ConfigMap; undefined once their removal has started. */
export async function detectHostFolders(connection: ClusterConnection): Promise<HostFolders | undefined> {
  const canal = await findCanal(connection);
  const config = canal && (await readCanalConfig(connection, canal));
  if (canal === undefined || config === undefined) return undefined;
  const location = `ConfigMap ${canal.namespace}/${canal.configMap}`;
  const addresses = findAddressStore(config['cni_network_config'], location) ?? null;
  const paths = readCniPaths(canal);
  // The check `cni-folder` blocks an installer whose folders are unknown.
  if (paths === undefined) return { ...defaultHostFolders, addresses };
  return { config: paths.configFolder, plugins: paths.binaryFolder, addresses };
}

/**
 * Returns the folders that were recorded with Cilium's CNI file, because Canal may be gone when a script needs them.
 * Without a record, reads them from Canal, or returns those of Calico's manifest.
 */
export async function readHostFolders(connection: ClusterConnection): Promise<HostFolders> {
  const chain = await ifFound(
    connection.core.readNamespacedConfigMap({ name: cniChainName, namespace: ciliumNamespace })
  );
  const recorded = chain?.metadata?.annotations?.[hostFoldersAnnotation];
  if (recorded !== undefined) return JSON.parse(recorded) as HostFolders;
  return (await detectHostFolders(connection)) ?? defaultHostFolders;
}
