/** Expected durations of the steps that disturb a cluster: from what this run has measured, otherwise from the lab. */
import type { MigrationInput } from './input.ts';

/** Seconds per node in addition to its pods' grace periods, used without a measurement: the slower nodes of the lab. */
export const defaultNodeSeconds = 40;

/** Seconds in the lab for the installation of Cilium, and for the removal of Canal or of Cilium. */
export const defaultInstallationSeconds = 60;
export const defaultRemovalSeconds = 60;

/** Seconds in the lab for one wave of agents that restart. */
export const defaultAgentWaveSeconds = 15;

/** Kinds of steps whose durations a run measures, in addition to those of nodes, which their status has. */
export type MeasuredKind = 'agentWave' | 'rollbackWave';

/** Latest durations that a run has measured, in seconds, by kind. */
export type MeasuredTimes = Partial<Record<MeasuredKind, number[]>>;

/** Maximum number of durations that are kept of each kind. */
const maxMeasured = 20;

/** What durations are computed from. */
export interface TimeBasis {
  ledger: Pick<MigrationInput['ledger'], 'baselineSeconds'>;
  /** Longest grace period of the pods of each node, in seconds. */
  graceSeconds: ReadonlyMap<string, number>;
  /** Nodes that this run has migrated, with the duration of each. */
  migrated: readonly { seconds?: number }[];
  measured: MeasuredTimes;
}

/** A step that disturbs the cluster. */
export type DisturbingStep =
  /** Cilium is installed next to Canal. */
  | { kind: 'installation'; hasBaseline: boolean }
  /** These nodes are migrated in parallel. */
  | { kind: 'wave'; nodes: readonly string[] }
  /** The agents restart, in this number of waves: in the cutover, in its rollback, or in a part of one. */
  | { kind: 'agents'; waves: number }
  /** These nodes are rolled back in parallel. */
  | { kind: 'rollback'; nodes: readonly string[] }
  /** Canal or Cilium is removed. */
  | { kind: 'removal' };

/**
 * Returns the expected duration of a step, in seconds. Medians of what was measured, because a node that waited for an
 * operator for hours says nothing about the next one.
 */
export function expectedSeconds(step: DisturbingStep, basis: TimeBasis): number {
  const { measured } = basis;
  switch (step.kind) {
    case 'installation':
      return defaultInstallationSeconds + (step.hasBaseline ? 0 : basis.ledger.baselineSeconds);
    case 'wave':
      return Math.round(waveSeconds(step.nodes, basis.graceSeconds, medianNode(basis)));
    case 'agents':
      return Math.round(step.waves * (median(measured.agentWave ?? []) ?? defaultAgentWaveSeconds));
    case 'rollback': {
      // A rollback drains the node and recycles its pods, as its migration does.
      const seconds = median(measured.rollbackWave ?? []) ?? medianNode(basis);
      return Math.round(waveSeconds(step.nodes, basis.graceSeconds, seconds));
    }
    case 'removal':
      return defaultRemovalSeconds;
  }
}

/**
 * Returns the duration of a wave in seconds: that of its slowest node.
 * @param measured seconds per node, including grace periods.
 * @default the value of the lab, and the longest grace period
 */
export function waveSeconds(
  nodes: readonly string[],
  graceSeconds: TimeBasis['graceSeconds'],
  measured: number | undefined
): number {
  return measured ?? defaultNodeSeconds + Math.max(0, ...nodes.map((node) => graceSeconds.get(node) ?? 0));
}

/** Returns the longest grace period of the pods of each node, in seconds, as the plan has them. */
export function gracePeriods(drains: readonly { node: string; graceSeconds: number }[]): ReadonlyMap<string, number> {
  return new Map(drains.map(({ node, graceSeconds }) => [node, graceSeconds]));
}

/** Returns the measured durations with another one, in seconds. */
export function addMeasured(times: MeasuredTimes, kind: MeasuredKind, seconds: number): MeasuredTimes {
  return { ...times, [kind]: [...(times[kind] ?? []), seconds].slice(-maxMeasured) };
}

function medianNode({ migrated }: TimeBasis): number | undefined {
  return median(migrated.flatMap(({ seconds }) => seconds ?? []));
}

/** Returns the median, the upper one of two; undefined without values. */
function median(values: readonly number[]): number | undefined {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

/** Formats a duration for people, such as `45 s`, `12 min` or `1 h 5 min`. Minutes are rounded up. */
export function durationText(seconds: number): string {
  const rounded = Math.round(seconds);
  if (rounded < 60) return `${rounded} s`;
  const minutes = Math.ceil(rounded / 60);
  if (minutes < 60) return `${minutes} min`;
  const [hours, rest] = [Math.floor(minutes / 60), minutes % 60];
  return rest === 0 ? `${hours} h` : `${hours} h ${rest} min`;
}
