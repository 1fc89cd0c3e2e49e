import type { HistoryFigures } from '../histories.ts';
import type { Ratios } from '../regressions.ts';

/** One whole migration of a cluster whose API server is real and whose machines are simulated. */
export interface ScaleRun extends HistoryFigures {
  nodes: number;
  podsPerNode: number;
  waveSize: number;
  /** Temporal's server: the dev server with SQLite, or the one of docker-compose.yml with PostgreSQL. */
  temporal: 'dev server' | 'PostgreSQL';
  /** Workers that were there at a time, and how many of them were killed on the way. */
  workers: number;
  killed: number;
  /** From the start of the workflow to its end, and what its phases took. */
  seconds: number;
  phaseSeconds: Record<string, number>;
  /** Of a core, of all workers together, and the largest one's memory at its largest. */
  workerCpuSeconds: number;
  workerMemoryMiB: number;
  /** Requests of the workers to the API server; Helm's, and the last seconds' of workers that were killed, are not among them. */
  requestsPerNode: number;
  /** How long somebody else's GET of one object took meanwhile, in ms. */
  bystander: { requests: number; p50Ms: number; p99Ms: number; maxMs: number; failed: number };
  /** The same in the minute before the migration. */
  bystanderBefore: { p50Ms: number; p99Ms: number };
  /** Nodes whose workflow was started more than once, and nodes that were not migrated in the end. */
  twice: number;
  lost: number;
}

/** What is compared with the result before; requests and histories only when as many were migrated at a time. */
export function scaleRatios(run: ScaleRun): Ratios {
  const alike = `${run.podsPerNode} pods a node, waves of ${run.waveSize}, ${run.workers} workers`;
  return {
    'nodes lost or twice': run.lost + run.twice,
    [`requests a node (${alike})`]: run.requestsPerNode,
    [`actions a node (${alike})`]: run.actionsPerNode,
    [`events of the longest history (${alike})`]: run.largestEvents,
  };
}
