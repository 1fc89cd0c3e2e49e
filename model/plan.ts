import { isObject, type HelmValues } from './helm-values.ts';
import type { MigrationInput } from './input.ts';
import { untrustedProblems } from './input-limits.ts';
import { isMigrated, type NodeFacts } from './nodes.ts';
import type { PlannedRelease } from './planned-release.ts';
import type { CheckOutcome } from './preflight.ts';
import type { ClusterFacts } from './cluster-facts.ts';
import {
  defaultAgentWaveSeconds,
  defaultInstallationSeconds,
  defaultNodeSeconds,
  defaultRemovalSeconds,
  gracePeriods,
  waveSeconds,
} from './step-times.ts';
import { allWaves, type Wave } from './waves.ts';

/** Steps of a migration, computed before it starts. */
export interface Plan {
  /** SHA-256 of all that is approved: see `computePlanDigest`. Undefined in a plan of an earlier build. */
  digest?: string;
  /** Waves in order, each with the reason for its position. */
  waves: Wave[];
  /** Nodes that are already migrated. */
  migrated: string[];
  /** Nodes that are sidelined because they are not Ready. */
  notReady: string[];
  /** Canal as found. */
  source: NonNullable<ClusterFacts['canal']>;
  target: { chart: string; version: string; podCidr: string; tunnelPort: number };
  /** Helm values that Cilium is installed with next to Canal. */
  values: HelmValues;
  /** Differences from the deployed values, one line each: `+` added, `-` removed, `~` changed. */
  changes: string[];
  /** Objects that the migration creates, `Kind namespace/name`. */
  objects: string[];
  /** Digests of the chart and of the rendered manifests. Undefined in a plan of an earlier build. */
  release?: PlannedRelease;
  /**
   * Images of the pods that are created, sorted.
   * @default unknown, in a plan of an earlier build
   */
  images?: string[];
  /** Effect on the pods of each remaining node. */
  drains: NodeDrain[];
  /** Number of nodes whose effects the query leaves out, in a large cluster: those of the last waves. */
  drainsLeftOut?: number;
  /** Estimated duration. */
  estimate: Estimate;
  /**
   * Steps that are longer than every maintenance window: each starts at the start of a window, and may end after it.
   * @default none
   */
  longerThanWindows?: LongStep[];
  /** Waived checks that block, each with the reason. */
  waived: { check: string; reason: string }[];
  /** Backup named in the input. */
  backup?: string;
  /** Step that cannot be rolled back. */
  pointOfNoReturn: string;
}

/** Effect of a drain on the pods of one node. Long lists are truncated; `counts` covers all pods. */
export interface NodeDrain {
  node: string;
  counts: { evicted: number; recycled: number; refused: number };
  /** Pods that leave the node, namespace/name. */
  evicted: string[];
  /** Pods that are recreated on the node: those of DaemonSets. */
  recycled: string[];
  /** Pods that need consent that was not given, with the reason. */
  refused: string[];
  /** emptyDir volumes whose data is lost with consent, `namespace/name (volumes)`. */
  dataLost: string[];
  /**
   * Pods of Jobs among the evicted ones, namespace/name: the drain interrupts them, and the Job counts each as a failure
   * unless its `podFailurePolicy` ignores disruptions.
   * @default none
   */
  jobs?: string[];
  /** Longest grace period of its pods, in seconds. */
  graceSeconds: number;
}

/** A step that is expected to be longer than every maintenance window. */
export interface LongStep {
  /** Name, such as `wave 3`. */
  step: string;
  /** Expected duration, in seconds. */
  seconds: number;
  /** Length of the longest window, in seconds. */
  windowSeconds: number;
}

/** Estimated duration, without waits for operators. */
export interface Estimate {
  seconds: number;
  /** Seconds per node, in addition to the longest grace period of its pods. */
  nodeSeconds: number;
  /** Source of that number. */
  basis: string;
}

/** Data for a plan in addition to the nodes. */
export interface PlanDetails {
  changes: string[];
  objects: string[];
  /** Digests of the chart and of the rendered manifests. Undefined in the result of an earlier build. */
  release?: PlannedRelease;
  /** Images of the pods that are created, sorted. Undefined in the result of an earlier build. */
  images?: string[];
  /** Effects on the pods of the first nodes, which name pods. */
  drains: NodeDrain[];
  /**
   * Effects on the pods of the other nodes, as numbers: the details of thousands of nodes are one activity's result.
   * @default none
   */
  otherDrains?: DrainCounts[];
}

/** Numbers of a {@link NodeDrain}. */
export type DrainCounts = [node: string, evicted: number, recycled: number, refused: number, graceSeconds: number];

/** Computes the plan. */
export function buildPlan(
  canal: NonNullable<ClusterFacts['canal']>,
  nodes: readonly NodeFacts[],
  input: MigrationInput,
  values: HelmValues,
  { changes, objects, release, images, drains: firstDrains, otherDrains = [] }: PlanDetails,
  preflight: readonly CheckOutcome[]
): Plan {
  const drains = [...firstDrains, ...otherDrains.map(expandDrain)];
  const migrated = nodes.filter(isMigrated);
  const remaining = nodes.filter((node) => !isMigrated(node));
  const rules = {
    maxConcurrency: input.waves.maxConcurrency,
    canaryNode: input.waves.canaryNode,
    proven: migrated.length > 0,
  };
  const waves = allWaves(
    remaining.filter((node) => node.ready),
    rules
  );
  return {
    waves,
    migrated: migrated.map((node) => node.name),
    notReady: remaining.filter((node) => !node.ready).map((node) => node.name),
    source: canal,
    target: {
      chart: input.chart,
      version: input.chartVersion,
      podCidr: input.podCidr,
      tunnelPort: input.tunnelPort,
    },
    values,
    ...{ changes, objects, drains },
    ...(release && { release }),
    ...(images && { images }),
    estimate: estimate(waves, drains, input, []),
    waived: preflight.flatMap(({ check, waived }) => (waived === undefined ? [] : [{ check, reason: waived }])),
    ...(input.backup !== undefined && { backup: input.backup }),
    pointOfNoReturn: 'the cleanup, which removes Canal; before it, all nodes can be rolled back',
  };
}

function expandDrain([node, evicted, recycled, refused, graceSeconds]: DrainCounts): NodeDrain {
  const counts = { evicted, recycled, refused };
  return { node, counts, evicted: [], recycled: [], refused: [], dataLost: [], graceSeconds };
}

/** Estimates the remaining duration from the durations of the finished nodes. */
export function estimate(
  waves: readonly Wave[],
  drains: readonly NodeDrain[],
  input: MigrationInput,
  done: readonly { seconds?: number }[]
): Estimate {
  const durations = done.flatMap(({ seconds }) => seconds ?? []);
  const count = durations.length;
  const meanSeconds = count === 0 ? undefined : durations.reduce((sum, seconds) => sum + seconds, 0) / count;
  const graces = gracePeriods(drains);
  const inWaves = waves.reduce((sum, { nodes }) => sum + waveSeconds(nodes, graces, meanSeconds), 0);
  const soaks = Math.max(0, waves.length - 1) * input.waves.soakSeconds;
  const nodeCount = waves.reduce((sum, { nodes }) => sum + nodes.length, 0) + done.length;
  const clusterSeconds = defaultInstallationSeconds + defaultRemovalSeconds + nodeCount * defaultAgentWaveSeconds;
  const overheadSeconds = clusterSeconds + input.ledger.afterSeconds;
  const baseline = done.length === 0 ? input.ledger.baselineSeconds : 0;
  return {
    seconds: Math.round(inWaves + soaks + overheadSeconds + baseline),
    nodeSeconds: Math.round(meanSeconds ?? defaultNodeSeconds),
    basis:
      count === 0
        ? 'measured in the lab, plus the grace periods of the pods'
        : `mean of ${count} ${count === 1 ? 'node' : 'nodes'} migrated in this run`,
  };
}

/**
 * Returns the differences between values, one line per path. The migration sets no secret values: Secrets appear by
 * name only.
 */
export function valueChanges(from: HelmValues, to: HelmValues): string[] {
  const [before, after] = [flatten(from), flatten(to)];
  const paths = [...new Set([...before.keys(), ...after.keys()])].sort();
  return paths.flatMap((path) => {
    const [old, now] = [before.get(path), after.get(path)];
    if (old === now) return [];
    const show = (text: string): string => (mayBeSecret(path, text) ? notShown : text);
    if (old === undefined) return [`+ ${path}: ${show(now ?? '')}`];
    return now === undefined ? [`- ${path}: ${show(old)}`] : [`~ ${path}: ${show(old)} → ${show(now)}`];
  });
}

/** Shown instead of a value that may be a secret: a plan is part of a workflow's history. */
const notShown = '(not shown: it may be a secret)';

/** True for a value that an input must not have; and for keys and certificates, which other installations may have there. */
function mayBeSecret(path: string, json: string): boolean {
  const name = path.slice(path.lastIndexOf('.') + 1);
  const isText = json.startsWith('"') && json !== '""';
  if (isText && /(^|[a-z])(key|cert|crt|pem)$/i.test(name)) return true;
  return untrustedProblems({ [name]: JSON.parse(json) as unknown }).length > 0;
}

/** Returns the values by path; a list is a single value. */
function flatten(values: HelmValues, path = ''): Map<string, string> {
  const flattened = new Map<string, string>();
  for (const [key, value] of Object.entries(values)) {
    const keyPath = path === '' ? key : `${path}.${key}`;
    if (isObject(value) && Object.keys(value).length > 0) {
      for (const [childPath, text] of flatten(value, keyPath)) flattened.set(childPath, text);
    } else flattened.set(keyPath, JSON.stringify(value));
  }
  return flattened;
}
