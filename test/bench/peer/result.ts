import type { Ratios } from '../regressions.ts';
import { median } from '../results.ts';
import type { Seen } from './observer.ts';
import type { ProcessorUse } from './processor-use.ts';

/** One whole migration. */
export interface Migrated extends Seen {
  seconds: number;
  /** Seconds of each phase, or step of the procedure by hand. */
  phases: Record<string, number>;
  /** Seconds of each node. */
  nodes: Record<string, number>;
  /** Of the service: how often each kind of activity was done, and the seconds of all together. */
  activities?: Record<string, { count: number; seconds: number }>;
  /** What the machine that carries everything was busy with. */
  processors?: ProcessorUse;
  /** Seconds that an agent compiled each of its programs, at the end. */
  compileSeconds?: Record<string, number>;
}

/** One pair: both on a lab of their own, one after the other, on the same machine. */
export interface Pair {
  byHand: Migrated;
  service: Migrated;
}

/** What `test/bench/results/peer-*.json` holds. */
export interface PeerResult {
  /** Nodes of each lab, and of a wave of the service's. */
  nodes: number;
  waveSize: number;
  pairs: Pair[];
}

/** Name of a result. */
export function peerName(nodes: number, waveSize: number): string {
  return `peer-${nodes}-nodes-waves-of-${waveSize}`;
}

/** With more nodes than that, one machine carries them only if the application and the probers leave it room. */
export const fullLoadUpTo = 3;

/** How the service relates to the procedure by hand. */
export interface PeerRatios extends Ratios {
  /** Time of the service's migration to that of the procedure by hand: the middle of all pairs. */
  total: number;
  /** The same for one node. */
  node: number;
  /** Pods that the service made anew, for each pod. */
  restarts: number;
}

/** The ratios of some pairs. */
export function peerRatios(pairs: readonly Pair[]): PeerRatios {
  const mean = (nodes: Record<string, number>): number => {
    const seconds = Object.values(nodes);
    return seconds.reduce((sum, one) => sum + one, 0) / seconds.length;
  };
  return {
    total: median(pairs.map(({ service, byHand }) => service.seconds / byHand.seconds)),
    node: median(pairs.map(({ service, byHand }) => mean(service.nodes) / mean(byHand.nodes))),
    restarts: median(pairs.map(({ service }) => service.restartsPerPod)),
  };
}
