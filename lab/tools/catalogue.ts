import path from 'node:path';
import { artefactDir, type Artefact } from './artefact.ts';
import {
  chromiumLayer,
  clangLayer,
  debianBase,
  machineLayer,
  nftablesLayer,
  postgresqlLayer,
} from './debian-layers.ts';
import { goArtefact } from './go-artefact.ts';
import { goSets, listPrograms } from './go-sets.ts';
import { nodeImages, systemImages } from './node-images.ts';
import { programArtefacts } from './programs.ts';

/** All artefacts of the lab, in the best order of building, and the paths of their parts. */
export interface Catalogue {
  artefacts: readonly Artefact[];
  /** Artefacts of a control plane without nodes. */
  controlPlaneArtefacts: readonly Artefact[];
  /** Programs that run outside a cluster: Temporal's dev server and Helm. */
  hostArtefacts: readonly Artefact[];
  /** Additional artefacts for tests: Temporal's production server, its database, a browser. */
  testArtefacts: readonly Artefact[];
  /** Additional artefacts for benches of large clusters. */
  benchArtefacts: readonly Artefact[];
  /** Folder of Temporal's schemas for PostgreSQL. */
  temporalSchemas: string;
  /** Root file systems with a database and with a browser, uppermost layer first. */
  postgresqlLayers: readonly string[];
  chromiumLayers: readonly string[];
  /** Folders to put on the PATH of a lab's machines. */
  binDirs: readonly string[];
  /** Returns the path of a binary by name. */
  bin: (name: string) => string;
  /** Root file system layers of a machine, uppermost first (the order of overlayfs' `lowerdir`). */
  machineLayers: readonly string[];
  /** The same for a node, whose kube-proxy may need the command nft. */
  nodeLayers: readonly string[];
  /** Artefacts of the root file system in which the scripts for nodes are tested, and its layers. */
  scriptArtefacts: readonly Artefact[];
  scriptLayers: readonly string[];
  /** Containerd folder from which a node starts. */
  containerdTemplate: string;
  /** Cilium's Helm chart. */
  ciliumChart: string;
  /** Calico's own manifest of Canal. */
  canalManifest: string;
}

/** Sets that no lab needs. */
const testSets = ['temporal-server', 'compose'];
const benchSets = ['kwok'];
/**
 * Sets of which two can be compiled in parallel without compiling the same packages twice: those that share most with
 * Kubernetes come after it. The others follow in any order.
 */
const firstSets = ['kubernetes', 'calico', 'temporal', 'etcd', 'cni-plugins', 'cilium'];
const labSets = [...new Set([...firstSets, ...goSets.map(({ name }) => name)])].filter(
  (name) => ![...testSets, ...benchSets].includes(name)
);

function rootfs(...layers: readonly Artefact[]): string[] {
  return layers.map((layer) => path.join(artefactDir(layer), 'rootfs'));
}

/** Returns the catalogue of this checkout. */
export async function loadCatalogue(): Promise<Catalogue> {
  const sets = Object.fromEntries(
    await Promise.all(goSets.map(async (set) => [set.name, await goArtefact(set)] as const))
  );
  const set = (name: string): Artefact => {
    const artefact = sets[name];
    if (artefact === undefined) throw new Error(`no set of Go tools is called ${name}`);
    return artefact;
  };
  const system = await systemImages({
    cilium: set('cilium'),
    calico: set('calico'),
    flannel: set('flannel'),
    coredns: set('coredns'),
    containerd: set('containerd'),
    'cni-plugins': set('cni-plugins'),
  });
  const programs = await programArtefacts();
  const node = nodeImages(system, set('containerd'), programs);
  const owners = new Map<string, Artefact>(
    goSets.flatMap((goSet) => listPrograms(goSet).map((program) => [program, set(goSet.name)] as const))
  );
  return {
    // Artefacts that wait for the network come first.
    artefacts: [
      ...[debianBase, machineLayer, nftablesLayer, clangLayer],
      ...labSets.map(set),
      ...Object.values(programs),
      ...[system, node],
    ],
    testArtefacts: [debianBase, postgresqlLayer, chromiumLayer, ...testSets.map(set)],
    benchArtefacts: benchSets.map(set),
    temporalSchemas: path.join(artefactDir(set('temporal-server')), 'schema'),
    postgresqlLayers: rootfs(postgresqlLayer, debianBase),
    chromiumLayers: rootfs(chromiumLayer, debianBase),
    controlPlaneArtefacts: [debianBase, machineLayer, set('kubernetes'), set('etcd')],
    hostArtefacts: [set('temporal'), set('helm')],
    binDirs: ['kubernetes', 'etcd', 'containerd', 'helm', 'cilium'].map((name) =>
      path.join(artefactDir(set(name)), 'bin')
    ),
    bin: (name) => {
      const owner = owners.get(name);
      if (owner === undefined) throw new Error(`no tool is called ${name}`);
      return path.join(artefactDir(owner), 'bin', name);
    },
    machineLayers: rootfs(machineLayer, debianBase),
    nodeLayers: rootfs(nftablesLayer, machineLayer, debianBase),
    scriptArtefacts: [debianBase, nftablesLayer],
    scriptLayers: rootfs(nftablesLayer, debianBase),
    containerdTemplate: path.join(artefactDir(node), 'containerd'),
    ciliumChart: path.join(artefactDir(set('cilium')), 'chart'),
    canalManifest: path.join(artefactDir(set('calico')), 'canal.yaml'),
  };
}
