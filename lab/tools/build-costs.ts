/** What it takes to build an artefact from nothing. */
export interface BuildCost {
  /** Processor time in seconds: what remains of a build is estimated with it until enough of the build is done. */
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

const costs: Readonly<Record<string, BuildCost>> = {
  'debian-base': cost(60, 105),
  'debian-machine': cost(10, 20),
  'debian-clang': cost(20, 410),
  'debian-postgresql': cost(20, 200),
  'debian-chromium': cost(40, 600),
};

/** Modules and packages of all artefacts together in MB, each counted once. */
export const sharedCosts = { modules: 5_000, cache: 8_000 };

/** Returns what an artefact takes; for one that was never measured, what a usual one takes. */
export function costOf(name: string): BuildCost {
  return costs[name] ?? cost(60, 100, 300, 400);
}
