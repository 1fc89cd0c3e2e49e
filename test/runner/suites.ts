/** Tiers of suites: `fast` needs no cluster with nodes, `core` adds one whole migration, `all` adds the rest. */
export const tiers = ['fast', 'core', 'all'] as const;
export type Tier = (typeof tiers)[number];

/** Tools that suites need: those of an API server with Temporal, of labs with nodes, of the Compose file's services. */
export const toolGroups = ['control plane', 'lab', 'stack'] as const;
export type ToolGroup = (typeof toolGroups)[number];

/** Usual duration of building a group of tools from scratch on the reference machine, including those of other groups. */
export const usualBuildMinutes: Readonly<Record<ToolGroup, number>> = { 'control plane': 12, lab: 18, stack: 6 };

/** Test files of one run of Jest. Suites run one after another, because a single lab uses two cores. */
export interface Suite {
  name: string;
  /** Smallest tier that contains the suite. */
  tier: Tier;
  /** Jest's project, which is also the folder of its files. */
  project: 'unit' | 'workflow' | 'api' | 'lab';
  /** Pattern of its files. @default all of its project */
  only?: string;
  /** Pattern of excluded files. @default none */
  without?: string;
  /** Number of files that run in parallel. @default one */
  workers?: number;
  /** @default none */
  tools?: ToolGroup;
  /** `parallel` runs in parallel with the suites after it, `alone` when no other suite runs. @default neither */
  lane?: 'parallel' | 'alone';
  /** Usual duration on the reference machine, without tools. The deadline is three times as long. */
  usualMinutes: number;
}

const lab = (name: string, usualMinutes: number, tier: Tier = 'all'): Suite => ({
  name: `lab-${name}`,
  tier,
  project: 'lab',
  only: `test/lab/${name}\\.test\\.ts$`,
  tools: 'lab',
  usualMinutes,
});

const productionServer = 'test/workflow/production-server\\.test\\.ts$';
const longProperty = 'test/workflow/any-order-long\\.test\\.ts$';
const stackFiles = 'test/api/(stack|web-ui)\\.test\\.ts$';
const releaseFiles = 'test/api/sbom\\.test\\.ts$';

/**
 * All suites in the order in which they run. Two labs that mostly wait run in parallel with suites without labs.
 */
export const suites: readonly Suite[] = [
  { name: 'unit', tier: 'fast', project: 'unit', workers: 4, usualMinutes: 1 },
  // These mostly wait for Temporal, so that four files can share two cores.
  {
    ...{ name: 'workflow', tier: 'fast', project: 'workflow', workers: 4 },
    ...{ without: `(${productionServer}|${longProperty})`, tools: 'control plane', usualMinutes: 10 },
  },
  // Mostly waits for dead workers to be noticed.
  { ...lab('crash', 18), lane: 'parallel' },
  // These wait for Kubernetes' controllers.
  {
    ...{ name: 'api', tier: 'fast', project: 'api', workers: 2 },
    ...{ without: `(${stackFiles}|${releaseFiles})`, tools: 'control plane', usualMinutes: 10 },
  },
  // Mostly waits for steps that the test holds.
  { ...lab('rollbacks', 8), lane: 'parallel' },
  {
    ...{ name: 'workflow-server', tier: 'all', project: 'workflow' },
    ...{ only: productionServer, tools: 'stack', usualMinutes: 1 },
  },
  { name: 'api-stack', tier: 'all', project: 'api', only: stackFiles, tools: 'stack', usualMinutes: 3 },
  { name: 'api-release', tier: 'all', project: 'api', only: releaseFiles, usualMinutes: 4 },
  // These compare this machine before and after a lab.
  { ...lab('lifecycle', 2), lane: 'alone' },
  lab('demo', 2),
  lab('prebuilt', 5),
  {
    name: 'workflow-any-order',
    tier: 'all',
    project: 'workflow',
    only: longProperty,
    tools: 'control plane',
    usualMinutes: 10,
  },
  { ...lab('migration', 6, 'core'), lane: 'alone' },
  { ...lab('two-nodes', 14), lane: 'alone' },
  { ...lab('nftables', 5), lane: 'alone' },
  { ...lab('policy', 14), lane: 'alone' },
];

/** Returns the suites of a tier. */
export function suitesOfTier(tier: Tier): readonly Suite[] {
  return suites.filter((suite) => tiers.indexOf(suite.tier) <= tiers.indexOf(tier));
}

/** Returns true when a suite runs a test file, given by its path in the checkout. */
export function includesFile({ project, only = '', without = '^$' }: Suite, file: string): boolean {
  return file.startsWith(`test/${project}/`) && new RegExp(only).test(file) && !new RegExp(without).test(file);
}
