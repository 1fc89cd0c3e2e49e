import type { HistoryFigures } from '../histories.ts';

/** One whole migration of a cluster that is only there for the workflows. */
export interface TemporalRun extends HistoryFigures {
  nodes: number;
  seconds: number;
  /** Seconds of a core that the worker took, the cluster's stand-in included. */
  workerCpuSeconds: number;
  memoryMiB: number;
}

/** What `bench/results/temporal-scale.json` holds. */
export interface TemporalScaleResult {
  waveSize: number;
  runs: TemporalRun[];
}
