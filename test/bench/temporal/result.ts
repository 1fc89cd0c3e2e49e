import type { HistoryFigures } from '../histories.ts';
import type { Ratios } from '../regressions.ts';

/** One whole migration of a cluster that is only there for the workflows. */
export interface TemporalRun extends HistoryFigures {
  nodes: number;
  seconds: number;
  /** Seconds of a core that the worker took, the cluster's stand-in included. */
  workerCpuSeconds: number;
  memoryMiB: number;
}

/** What `test/bench/results/temporal-scale.json` holds. */
export interface TemporalScaleResult {
  waveSize: number;
  runs: TemporalRun[];
}

/** What is compared with the result before. */
export function temporalRatios({ waveSize, runs }: TemporalScaleResult): Ratios {
  return Object.fromEntries(
    runs.flatMap(({ nodes, actionsPerNode, nodeEvents, largestEvents }) => [
      [`actions a node, of ${nodes} in waves of ${waveSize}`, actionsPerNode],
      [`events of a node's workflow, of ${nodes}`, nodeEvents],
      [`events of the longest history, of ${nodes} nodes in waves of ${waveSize}`, largestEvents],
    ])
  );
}
