import type { HistoryFigures } from '../histories.ts';
import type { Ratios } from '../regressions.ts';

/** One whole migration of a cluster that exists only for the workflows. */
export interface TemporalRun extends HistoryFigures {
  nodes: number;
  seconds: number;
  /** CPU time of the worker in seconds, including the cluster's fake. */
  workerCpuSeconds: number;
  memoryMiB: number;
}

/** Content of `test/bench/results/temporal-scale.json`. */
export interface TemporalScaleResult {
  waveSize: number;
  runs: TemporalRun[];
}

/** Returns the figures for the comparison with the previous result. */
export function temporalRatios({ waveSize, runs }: TemporalScaleResult): Ratios {
  return Object.fromEntries(
    runs.flatMap(({ nodes, actionsPerNode, nodeEvents, largestEvents }) => [
      [`actions per node, of ${nodes} in waves of ${waveSize}`, actionsPerNode],
      [`events of a node's workflow, of ${nodes}`, nodeEvents],
      [`events of the longest history, of ${nodes} nodes in waves of ${waveSize}`, largestEvents],
    ])
  );
}
