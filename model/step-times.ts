/** Expected durations of the steps that disturb a cluster: from what this run has measured, otherwise from the lab. */
import type { MigrationInput } from './input.ts';

/** Seconds per node in addition to its pods' grace periods, used without a measurement: the slower nodes of the lab. */
const defaultNodeSeconds = 40;

/** Seconds in the lab for the installation of Cilium, and for the removal of Canal or of Cilium. */
export const defaultInstallationSeconds = 60;
export const defaultRemovalSeconds = 60;

/** Seconds in the lab for one wave of agents that restart. */
export const defaultAgentWaveSeconds = 15;

/** Number of measured durations, and their sum in seconds. */
export interface Measured {
  count: number;
  seconds: number;
}

/** Kinds of steps whose durations a run measures, in addition to those of nodes, which their status has. */
export type MeasuredKind = 'agentWave' | 'rollbackWave';

/** What a run has measured, by kind. */
export type MeasuredTimes = Partial<Record<MeasuredKind, Measured>>;

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

/** Returns the expected duration of a step, in seconds. */
export function expectedSeconds(step: DisturbingStep, basis: TimeBasis): number {
  const { measured } = basis;
  switch (step.kind) {
    case 'installation':
      return defaultInstallationSeconds + (step.hasBaseline ? 0 : basis.ledger.baselineSeconds);
    case 'wave':
      return Math.round(waveSeconds(step.nodes, basis));
    case 'agents':
      return Math.round(step.waves * (mean(measured.agentWave) ?? defaultAgentWaveSeconds));
    case 'rollback':
      // A rollback drains the node and recycles its pods, as its migration does.
      return Math.round(mean(measured.rollbackWave) ?? waveSeconds(step.nodes, basis));
    case 'removal':
      return defaultRemovalSeconds;
  }
}

/** Returns the duration of a wave in seconds: that of its slowest node. Measured durations include grace periods. */
export function waveSeconds(
  nodes: readonly string[],
  { graceSeconds, migrated }: Pick<TimeBasis, 'graceSeconds' | 'migrated'>
): number {
  const { seconds, isMeasured } = nodeSeconds(migrated);
  if (isMeasured) return seconds;
  return seconds + Math.max(0, ...nodes.map((node) => graceSeconds.get(node) ?? 0));
}

/** Returns the longest grace period of the pods of each node, in seconds, as the plan has them. */
export function gracePeriods(drains: readonly { node: string; graceSeconds: number }[]): ReadonlyMap<string, number> {
  return new Map(drains.map(({ node, graceSeconds }) => [node, graceSeconds]));
}

/** Returns the seconds that a node needs: the mean of those that this run has migrated, otherwise a value of the lab. */
export function nodeSeconds(migrated: TimeBasis['migrated']): { seconds: number; isMeasured: boolean } {
  const durations = migrated.flatMap(({ seconds }) => seconds ?? []);
  if (durations.length === 0) return { seconds: defaultNodeSeconds, isMeasured: false };
  const sum = durations.reduce((total, seconds) => total + seconds, 0);
  return { seconds: sum / durations.length, isMeasured: true };
}

/** Returns the measurements with another one, in seconds. */
export function addMeasured(times: MeasuredTimes, kind: MeasuredKind, seconds: number): MeasuredTimes {
  const { count, seconds: sum } = times[kind] ?? { count: 0, seconds: 0 };
  return { ...times, [kind]: { count: count + 1, seconds: sum + seconds } };
}

function mean(measured: Measured | undefined): number | undefined {
  return measured === undefined || measured.count === 0 ? undefined : measured.seconds / measured.count;
}

/** Formats a duration for people, such as `45 s`, `12 min` or `1 h 5 min`. Minutes are rounded up. */
export function durationText(seconds: number): string {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.ceil(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const [hours, rest] = [Math.floor(minutes / 60), minutes % 60];
  return rest === 0 ? `${hours} h` : `${hours} h ${rest} min`;
}
