import type { Decision } from './decision.ts';
import type { Phase, Waiting } from './status.ts';

/**
 * State of a cluster. `failed` and `skipped` clusters are sidelined until an operator retries them; `rolled-back` is
 * the result of a migration that an operator rolled back.
 */
export type FleetClusterState = 'pending' | 'migrating' | 'migrated' | 'failed' | 'skipped' | 'rolled-back';

/** Progress that a cluster's migration reports to its fleet. */
export interface ClusterProgress {
  cluster: string;
  phase: Phase;
  /** Number of migrated nodes, and of all nodes. */
  migrated: number;
  nodes: number;
  /** Text of what the migration waits for. */
  waitingFor?: string;
}

/** One cluster in a fleet's status. */
export interface FleetCluster {
  cluster: string;
  /** True for a canary: one of the first clusters, which are migrated one by one. */
  canary: boolean;
  state: FleetClusterState;
  /** Workflow ID of its migration, for messages and queries. */
  workflowId: string;
  /** Approval of its start. */
  approval?: Decision;
  /** Decision to skip or to retry it. */
  decision?: Decision;
  /** Start and end of its latest migration, whether it succeeded or failed (ISO 8601, UTC). */
  startedAt?: string;
  endedAt?: string;
  /** Progress while it is being migrated. */
  progress?: Omit<ClusterProgress, 'cluster'>;
  /** Cause of its failure. */
  failure?: { type: string; message: string };
}

/** State of a fleet's migration. */
export interface FleetStatus {
  fleet: string;
  clusters: FleetCluster[];
  /** Text of what the fleet waits for; undefined while it works. */
  waitingFor?: string;
  /** Details of the wait. */
  waiting?: Waiting;
  paused?: Decision;
  /** Refused messages, newest last; at most 50 are kept. */
  notes: string[];
}
