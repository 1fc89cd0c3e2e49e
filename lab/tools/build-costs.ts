/** Cost of building an artefact from scratch. */
export interface BuildCost {
  /** Processor time in seconds: the basis of the estimate until enough of the build is done. */
  seconds: number;
  /** Size of the result in MB. */
  result: number;
  /** Size of the unpacked Go modules and their archives in MB. Artefacts share some of them. */
  modules: number;
  /** Size of the compiled packages in Go's build cache in MB. Artefacts share some of them. */
  cache: number;
}

const cost = (seconds: number, result: number, modules = 0, cache = 0): BuildCost => ({
  seconds,
  result,
  modules,
  cache,
});

/**
 * Measured with Kubernetes 1.36.3, Cilium 1.20.2 and Temporal's CLI 1.5: sizes as `du` gives them, modules with the
 * archives that Go keeps of them, time from the packages that are new to each in the order of the catalogue.
 */
const costs: Readonly<Record<string, BuildCost>> = {
  'debian-base': cost(60, 106),
  'debian-machine': cost(10, 18),
  'debian-nftables': cost(10, 8),
  'debian-clang': cost(20, 427),
  'debian-postgresql': cost(20, 200),
  'debian-chromium': cost(40, 600),
  kubernetes: cost(600, 191, 710, 2870),
  calico: cost(190, 207, 650, 1000),
  temporal: cost(180, 216, 2300, 1270),
  etcd: cost(25, 25, 230, 250),
  'cni-plugins': cost(10, 17, 40, 60),
  cilium: cost(360, 300, 800, 2670),
  helm: cost(35, 65, 590, 610),
  coredns: cost(20, 54, 290, 520),
  flannel: cost(12, 53, 300, 570),
  containerd: cost(50, 55, 550, 440),
  'temporal-server': cost(120, 192, 1820, 1730),
  compose: cost(10, 7, 80, 60),
  kwok: cost(20, 65, 400, 670),
  pause: cost(2, 2, 0, 20),
  app: cost(3, 8, 0, 60),
  prober: cost(3, 8, 0, 70),
  coexistence: cost(5, 30, 230, 700),
  'system-images': cost(25, 2303),
  'node-images': cost(6, 92),
};

/** Modules and packages of a whole lab in MB, each counted once. */
export const sharedCosts = { modules: 4_000, cache: 6_700 };

/** Returns the cost of an artefact; a usual cost for one that was never measured. */
export function getBuildCost(name: string): BuildCost {
  return costs[name] ?? cost(60, 100, 300, 400);
}
