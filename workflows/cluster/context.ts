import type { Migration } from './migration.ts';
import type { NodeRuns } from './node-runs.ts';
import type { Nodes } from './nodes.ts';

/** What the phases of a migration work with. */
export interface ClusterContext {
  readonly migration: Migration;
  readonly nodes: Nodes;
  readonly nodeRuns: NodeRuns;
  /** Time of the last read of the ledger in this run (Unix ms); 0 before the first. */
  ledgerReadMs: number;
}
