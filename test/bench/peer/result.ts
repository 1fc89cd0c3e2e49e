import type { Ratios } from '../regressions.ts';
import { median } from '../results.ts';
import type { UserImpact } from './observer.ts';
import type { ProcessorUse } from './processor-use.ts';

/** One whole migration. */
export interface MigrationResult extends UserImpact {
  seconds: number;
  /** Seconds of each phase, or of each step of the procedure by hand. */
  phases: Record<string, number>;
  /** Seconds of each node. */
  nodes: Record<string, number>;
  /** Of the service only: number of runs of each type of activity, and their total seconds. */
  activities?: Record<string, { count: number; seconds: number }>;
  /** Processor use of the machine that carries everything. */
  processors?: ProcessorUse;
  /** Seconds in which an agent compiled each of its programs, at the end. */
  compileSeconds?: Record<string, number>;
}

/** One pair: each on its own lab, one after the other, on the same machine. */
export interface Pair {
  byHand: MigrationResult;
  service: MigrationResult;
}

/** Content of `test/bench/results/peer-*.json`. */
export interface PeerResult {
  /** Number of nodes of each lab, and of a wave of the service. */
  nodes: number;
  waveSize: number;
  pairs: Pair[];
}

/** Returns the name of a result. */
export function peerName(nodes: number, waveSize: number): string {
  return `peer-${nodes}-nodes-waves-of-${waveSize}`;
}

/**
 * Maximum number of nodes under full load; one machine carries more only when the application and the probers use less.
 */
export const fullLoadUpTo = 3;

/** Ratios of the service to the procedure by hand. */
export interface PeerRatios extends Ratios {
  /** Duration of the service's migration divided by that of the procedure by hand: the median of all pairs. */
  total: number;
  /** The same for one node. */
  node: number;
  /** Pods that the service recreated, per pod. */
  restarts: number;
}

/** Returns the ratios of pairs. */
export function peerRatios(pairs: readonly Pair[]): PeerRatios {
  const mean = (nodes: Record<string, number>): number => {
    const seconds = Object.values(nodes);
    return seconds.reduce((sum, nodeSeconds) => sum + nodeSeconds, 0) / seconds.length;
  };
  return {
    total: median(pairs.map(({ service, byHand }) => service.seconds / byHand.seconds)),
    node: median(pairs.map(({ service, byHand }) => mean(service.nodes) / mean(byHand.nodes))),
    restarts: median(pairs.map(({ service }) => service.restartsPerPod)),
  };
}
