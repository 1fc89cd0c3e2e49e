import { isObject } from '../../../model/helm-values.ts';
import type { MigrationInput } from '../../../model/input.ts';
import { summarizeList } from '../../../model/summarize.ts';
import type { CniPaths } from '../../canal/installer.ts';
import { block, inspectionRemark, pass, worst, type Finding, type PreflightCheck } from '../check.ts';
import type { ClusterReader } from '../cluster-reader.ts';
import type { HostFacts } from '../host-facts.ts';

/** Checks that Cilium and the migration use the folders from which the nodes read their CNI file. */
export const cniFolder: PreflightCheck = {
  ensures:
    "Canal's CNI file is in the folder to which Canal's installer writes on every node, and Cilium writes to the same folders.",
  verdicts:
    "Blocks when the folders of Canal's installer are unknown, or others than those of Cilium, and for each node whose folder cannot be read or lacks Canal's CNI file.",
  fix: "Restart Canal's pod on the nodes, which writes the file. Folders other than those of the chart are not supported: change them in the container runtime and in the volumes of Canal.",
  rationale:
    'In another folder, the CNI file of Cilium has no effect: pods would stay on Canal after the flip, and rollback and cleanup would find nothing to restore or remove (K3s, and container runtimes with another conf_dir).',
  run: async (cluster) => {
    const source = await cluster.canal();
    if (source === undefined) return pass('Canal is not installed');
    const paths = await cluster.cniPaths();
    if (paths === undefined)
      return block(
        `no container of DaemonSet ${source.namespace}/${source.name} mounts /host/etc/cni/net.d and /host/opt/cni/bin from the node`
      );
    const hosts = await cluster.hosts();
    return worst(
      compareFolders(paths, cluster.input),
      await evaluateFiles(cluster, paths),
      pass(`${paths.configFolder}/${paths.configFile}, plugins in ${paths.binaryFolder}${inspectionRemark(hosts)}`)
    );
  },
};

/** Compares the folders with those that Cilium's chart mounts (install/kubernetes/cilium/values.yaml, v1.20). */
function compareFolders({ configFolder, binaryFolder }: CniPaths, { values }: MigrationInput): Finding {
  const cni = isObject(values['cni']) ? values['cni'] : {};
  const given = (key: string, otherwise: string): string => {
    const folder = cni[key];
    return typeof folder === 'string' ? folder : otherwise;
  };
  const [confPath, binPath] = [given('confPath', '/etc/cni/net.d'), given('binPath', '/opt/cni/bin')];
  const differences = [
    ...(configFolder === confPath ? [] : [`CNI files: Canal ${configFolder}, Cilium ${confPath}`]),
    ...(binaryFolder === binPath ? [] : [`plugins: Canal ${binaryFolder}, Cilium ${binPath}`]),
  ];
  return differences.length === 0 ? pass() : block(...differences);
}

async function evaluateFiles({ hosts, ciliumIsOurs }: ClusterReader, paths: CniPaths): Promise<Finding> {
  const inspected = [...((await hosts()) ?? [])].filter(([, { unread }]) => unread === undefined);
  const unreadable = inspected.flatMap(([node, { cniError }]) =>
    cniError === undefined ? [] : [`${node} (${cniError})`]
  );
  const ours = await ciliumIsOurs();
  const missing = inspected
    .filter(([, host]) => host.cniError === undefined && !hasFile(host, paths.configFile, ours))
    .map(([node]) => node);
  return worst(
    unreadable.length === 0 ? pass() : block(`${paths.configFolder} cannot be read on ${summarizeList(unreadable)}`),
    missing.length === 0
      ? pass()
      : block(`${paths.configFile} is not in ${paths.configFolder} on ${summarizeList(missing)}`)
  );
}

/** Returns true when a node has Canal's CNI file, or, after its flip, the one that Cilium renamed. */
function hasFile({ cniFiles }: HostFacts, file: string, flipped: boolean): boolean {
  return file in cniFiles || (flipped && `${file}.cilium_bak` in cniFiles);
}
