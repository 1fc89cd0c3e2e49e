import type { HistoryFigures } from '../histories.ts';
import type { Ratios } from '../regressions.ts';

/** One whole migration of a cluster whose API server is real and whose machines are simulated. */
export interface ScaleRun extends HistoryFigures {
  nodes: number;
  podsPerNode: number;
  waveSize: number;
  /** Temporal's server: the dev server with SQLite, or the one of docker-compose.yml with PostgreSQL. */
  temporal: 'dev server' | 'PostgreSQL';
  /** Workers at the same time, and how many of them were killed during the migration. */
  workers: number;
  killed: number;
  /** Duration from the start of the workflow to its end, and durations of its phases. */
  seconds: number;
  phaseSeconds: Record<string, number>;
  /** CPU time of all workers together, and the peak memory of the largest one. */
  workerCpuSeconds: number;
  workerMemoryMiB: number;
  /** Requests of the workers to the API server, without Helm's and those of the last seconds of killed workers. */
  requestsPerNode: number;
  /** Duration of another client's GET of one object meanwhile, in ms. */
  bystander: { requests: number; p50Ms: number; p99Ms: number; maxMs: number; failed: number };
  /** The same in the minute before the migration. */
  bystanderBefore: { p50Ms: number; p99Ms: number };
  /** Nodes whose workflow was started more than once, and nodes that were not migrated at the end. */
  twice: number;
  lost: number;
}

/**
 * Returns the figures for the comparison with the previous result; requests and histories compare only with the same
 * number of nodes at a time.
 */
export function scaleRatios(run: ScaleRun): Ratios {
  const alike = `${run.podsPerNode} pods per node, waves of ${run.waveSize}, ${run.workers} workers`;
  return {
    'nodes lost or twice': run.lost + run.twice,
    [`requests per node (${alike})`]: run.requestsPerNode,
    [`actions per node (${alike})`]: run.actionsPerNode,
    [`events of the longest history (${alike})`]: run.largestEvents,
  };
}
