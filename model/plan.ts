import { isObject, type HelmValues } from './helm-values.ts';
import type { MigrationInput } from './input.ts';
import { isMigrated, type NodeFacts } from './nodes.ts';
import type { CheckOutcome } from './preflight.ts';
import type { ClusterFacts } from './cluster-facts.ts';
import { allWaves, type Wave } from './waves.ts';

/** What a migration is going to do. */
export interface Plan {
  /** Waves in order, each with the reason for its nodes' place. */
  waves: Wave[];
  /** Nodes that are migrated already. */
  migrated: string[];
  /** Nodes that are not Ready and set aside. */
  setAside: string[];
  /** Canal as it was found. */
  source: NonNullable<ClusterFacts['canal']>;
  target: { chart: string; version: string; podCidr: string; tunnelPort: number };
  /** Helm values that Cilium is installed with beside Canal. */
  values: HelmValues;
  /** How these differ from the values that run, one line each: `+` added, `-` removed, `~` changed. */
  changes: string[];
  /** Objects that the migration makes, `Kind namespace/name`. */
  objects: string[];
  /** What happens to the pods of each node that is left. */
  drains: NodeDrain[];
  /** How long it will take. */
  estimate: Estimate;
  /** Checks that block and were waived, each with the reason. */
  waived: { check: string; reason: string }[];
  /** What the input says about a backup. */
  backup?: string;
  /** What there is no way back from. */
  pointOfNoReturn: string;
}

/** What a drain will do with the pods of one node. Long lists are cut short, `counts` is of all. */
export interface NodeDrain {
  node: string;
  counts: { evicted: number; recycled: number; refused: number };
  /** Pods that leave the node, namespace/name. */
  evicted: string[];
  /** Pods that are made anew on the node: those of DaemonSets. */
  recycled: string[];
  /** Pods that need a consent which was not given, and why. */
  refused: string[];
  /** emptyDir volumes whose data is lost with consent, `namespace/name (volumes)`. */
  dataLost: string[];
  /** The longest grace period of its pods, in seconds. */
  graceSeconds: number;
}

/** How long it will take, without the waits for humans. */
export interface Estimate {
  seconds: number;
  /** Seconds of a node, beside the longest grace period of its pods. */
  nodeSeconds: number;
  /** Where that number is from. */
  basis: string;
}

/** What is read for a plan beside the nodes. */
export interface PlanDetails {
  changes: string[];
  objects: string[];
  drains: NodeDrain[];
}

/** Seconds of a node beside its pods' grace periods, where none was measured: the slower nodes of the lab. */
const usualNodeSeconds = 40;

/** Seconds of what is not about single nodes – coexistence and clean-up –, and of each node in the cut-over, in the lab. */
const usualClusterSeconds = 120;
const usualCutOverSeconds = 15;

/** Makes the plan from what was read. */
export function makePlan(
  canal: NonNullable<ClusterFacts['canal']>,
  nodes: readonly NodeFacts[],
  input: MigrationInput,
  values: HelmValues,
  details: PlanDetails,
  preflight: readonly CheckOutcome[]
): Plan {
  const migrated = nodes.filter(isMigrated);
  const left = nodes.filter((node) => !isMigrated(node));
  const rules = { size: input.waves.size, canary: input.waves.canary, proven: migrated.length > 0 };
  const waves = allWaves(
    left.filter((node) => node.ready),
    rules
  );
  return {
    waves,
    migrated: migrated.map((node) => node.name),
    setAside: left.filter((node) => !node.ready).map((node) => node.name),
    source: canal,
    target: {
      chart: input.chart,
      version: input.chartVersion,
      podCidr: input.podCidr,
      tunnelPort: input.tunnelPort,
    },
    values,
    ...details,
    estimate: estimate(waves, details.drains, input, []),
    waived: preflight.flatMap(({ check, waived }) => (waived === undefined ? [] : [{ check, reason: waived }])),
    ...(input.backup !== undefined && { backup: input.backup }),
    pointOfNoReturn: 'the clean-up, which removes Canal; until then everything can be rolled back',
  };
}

/** How long what is left will take, from the times of the nodes that are done. */
export function estimate(
  waves: readonly Wave[],
  drains: readonly NodeDrain[],
  input: MigrationInput,
  done: readonly { seconds?: number }[]
): Estimate {
  const times = done.flatMap(({ seconds }) => seconds ?? []);
  const measured = times.reduce((sum, seconds) => sum + seconds, 0) / times.length;
  const graces = new Map(drains.map(({ node, graceSeconds }) => [node, graceSeconds]));
  const graceOf = (node: string): number => graces.get(node) ?? 0;
  // What was measured has grace periods in it already.
  const perNode = times.length === 0 ? usualNodeSeconds : measured;
  const ofWave = (wave: Wave): number =>
    Math.max(...wave.nodes.map((node) => perNode + (times.length === 0 ? graceOf(node) : 0)));
  const soaks = Math.max(0, waves.length - 1) * input.waves.soakSeconds;
  const count = waves.reduce((sum, { nodes }) => sum + nodes.length, 0) + done.length;
  const rest = usualClusterSeconds + count * usualCutOverSeconds + input.ledger.afterSeconds;
  const baseline = done.length === 0 ? input.ledger.baselineSeconds : 0;
  return {
    seconds: Math.round(waves.reduce((sum, wave) => sum + ofWave(wave), 0) + soaks + rest + baseline),
    nodeSeconds: Math.round(perNode),
    basis:
      times.length === 0
        ? 'nodes of the lab; grace periods as the pods have them'
        : `${times.length} ${times.length === 1 ? 'node that was' : 'nodes that were'} migrated in this run`,
  };
}

/** How values differ, one line for each path. Values that hold secrets are none of the migration's: names alone. */
export function valueChanges(from: HelmValues, to: HelmValues): string[] {
  const [before, after] = [flat(from), flat(to)];
  const paths = [...new Set([...before.keys(), ...after.keys()])].sort();
  return paths.flatMap((path) => {
    const [old, now] = [before.get(path), after.get(path)];
    if (old === now) return [];
    if (old === undefined) return [`+ ${path}: ${now}`];
    return now === undefined ? [`- ${path}: ${old}`] : [`~ ${path}: ${old} → ${now}`];
  });
}

/** Values by path; a list is a value. */
function flat(values: HelmValues, path = ''): Map<string, string> {
  const found = new Map<string, string>();
  for (const [key, value] of Object.entries(values)) {
    const where = path === '' ? key : `${path}.${key}`;
    if (isObject(value) && Object.keys(value).length > 0) {
      for (const [below, text] of flat(value, where)) found.set(below, text);
    } else found.set(where, JSON.stringify(value));
  }
  return found;
}
