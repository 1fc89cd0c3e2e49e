import type { Answer, Decision, Phase } from './status.ts';

/**
 * What becomes of a cluster. `failed` and `skipped` ones are set aside until somebody retries them; `rolled-back` is how a
 * migration ended that a human turned round.
 */
export type FleetClusterState = 'pending' | 'migrating' | 'migrated' | 'failed' | 'skipped' | 'rolled-back';

/** What a cluster's migration tells its fleet's. */
export interface ClusterProgress {
  cluster: string;
  phase: Phase;
  /** Nodes that are migrated, and all of them. */
  migrated: number;
  nodes: number;
  /** What it waits for, in words. */
  waitingFor?: string;
}

/** One cluster in a fleet's status. */
export interface FleetCluster {
  cluster: string;
  /** One of those that go first, one by one. */
  canary: boolean;
  state: FleetClusterState;
  /** Of its migration, for messages and queries to it. */
  workflowId: string;
  /** Who let it begin. */
  approval?: Decision;
  /** Who set it aside, or took it up again. */
  decision?: Decision;
  /** When its latest migration began and ended, whatever with (ISO 8601, UTC). */
  startedAt?: string;
  endedAt?: string;
  /** Where it is, while it is under way. */
  progress?: Omit<ClusterProgress, 'cluster'>;
  /** Why it failed. */
  failure?: { type: string; message: string };
}

/** Where a fleet's migration is. */
export interface FleetStatus {
  fleet: string;
  clusters: FleetCluster[];
  /** What it waits for just now, in words; undefined while it works. */
  waitingFor?: string;
  /** The messages that end the wait. */
  answers: Answer[];
  paused?: Decision;
  /** Messages that made no sense, newest last; at most 50 are kept. */
  notes: string[];
}
