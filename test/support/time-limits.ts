/** Environment variable that passes the machine's factor to the processes of a run. */
export const timeFactorVariable = 'CNI_TEST_TIME_FACTOR';

/**
 * Factor by which this machine may be slower than the reference machine: at least 1. It is measured once, when a run of
 * tests starts (`test/runner/machine-factor.ts`); without a measurement it is 1.
 */
export const timeFactor = parseFactor(process.env[timeFactorVariable]);

/** Converts a limit in ms on the reference machine to ms on this one. */
export function scaleMs(ms: number): number {
  return Math.ceil(ms * timeFactor);
}

/**
 * Limits in ms on the reference machine: two idle cores. A limit ends a wait that failed; it never decides whether a
 * behaviour is right. Therefore each is several times the usual time until the awaited state.
 */
const referenceLimits = {
  /** One test of the projects "unit" and "workflow". */
  shortTest: 120_000,
  /** One test or hook of the projects "api" and "lab". */
  longTest: 600_000,
  /** A process or a file of this machine reaches an expected state. */
  localChange: 30_000,
  /** A started program answers its first request. */
  serviceStart: 60_000,
  /** A workflow with quick activities reaches the next state that a test waits for. */
  workflowState: 60_000,
  /** A program that was asked to end has ended. */
  serviceStop: 30_000,
  /** A controller of a running cluster has acted on a change. */
  clusterChange: 120_000,
  /** Pods of a changed workload are ready. */
  podsReady: 300_000,
  /** All preflight checks of a lab have answered. */
  preflight: 300_000,
  /** Every flow of the policy matrix is sampled several more times. */
  policySamples: 300_000,
  /** A migration reaches the next step of a node. */
  nodeStep: 300_000,
  /** A node is migrated or rolled back. */
  wholeNode: 600_000,
  /** A cluster of a few nodes is migrated, rolled back or cleaned up. */
  wholeMigration: 1_800_000,
} as const;

/** The name of a time limit. */
export type TimeLimit = keyof typeof referenceLimits;

/** All time limits of the tests in ms, scaled by {@link timeFactor}. */
export const timeLimits = Object.fromEntries(
  Object.entries(referenceLimits).map(([name, ms]) => [name, scaleMs(ms)])
) as Readonly<Record<TimeLimit, number>>;

function parseFactor(text: string | undefined): number {
  if (text === undefined || text === '') return 1;
  const factor = Number(text);
  if (!(factor >= 1)) throw new Error(`${timeFactorVariable} is "${text}"; it has to be a number of at least 1`);
  return factor;
}
