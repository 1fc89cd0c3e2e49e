import type { Answer, Decision } from './decision.ts';
import type { Phase } from './status.ts';

/**
 * States of a cluster. `failed` and `skipped` clusters are sidelined until an operator retries them; `rolled-back` is
 * the result of a migration that an operator rolled back.
 */
export const fleetClusterStates = ['pending', 'migrating', 'migrated', 'failed', 'skipped', 'rolled-back'] as const;

/** One of {@link fleetClusterStates}. */
export type FleetClusterState = (typeof fleetClusterStates)[number];

/** Progress that a cluster's migration reports to its fleet. */
export interface ClusterProgress {
  cluster: string;
  phase: Phase;
  /** Number of migrated nodes, and of all nodes. */
  migrated: number;
  nodes: number;
  /**
   * What the migration waited for when it reported. A report is sent when the kind of wait changes, not for each node:
   * the status of the migration itself names the current subject.
   */
  waitingFor?: string;
  /** True in the last report: the migration ends, with any result. */
  ended?: boolean;
}

/**
 * Minimum time between two reports of a migration to its fleet, in ms. The history of a fleet has an event for each
 * report of each of its clusters.
 */
export const fleetReportIntervalMs = 60_000;

/** One cluster in a fleet's status. */
export interface FleetCluster {
  cluster: string;
  /** True for a canary: one of the first clusters, which are migrated one by one. */
  canary: boolean;
  state: FleetClusterState;
  /** Workflow ID of its migration, for messages and queries. */
  workflowId: string;
  /** ID of the first run of its latest migration, which stays the same across continue-as-new. */
  runId?: string;
  /** Approval of its start. */
  approval?: Decision;
  /** Decision to skip or to retry it. */
  decision?: Decision;
  /** Start and end of its latest migration, whether it succeeded or failed (ISO 8601, UTC). */
  startedAt?: string;
  endedAt?: string;
  /** Progress while it is being migrated. */
  progress?: Omit<ClusterProgress, 'cluster' | 'ended'>;
  /** Cause of its failure. */
  failure?: { type: string; message: string };
}

/** What a fleet waits for: a resume, decisions about clusters, approvals of clusters, or the end of the soak. */
export type FleetWaitKind = 'resume' | 'decision' | 'approval' | 'soak';

/** A wait of a fleet. */
export interface FleetWaiting {
  kind: FleetWaitKind;
  /** Clusters that the wait is about; none for a pause and a soak. */
  clusters: string[];
  /** Start of the wait (ISO 8601, UTC). */
  since: string;
  /** Number of reminders so far. */
  reminders: number;
  /** Messages that end it; none for a soak. */
  answers: Answer[];
}

/** State of a fleet's migration. */
export interface FleetStatus {
  fleet: string;
  clusters: FleetCluster[];
  /** Text of what the fleet waits for; undefined while it works. */
  waitingFor?: string;
  /** Details of the wait. */
  waiting?: FleetWaiting;
  paused?: Decision;
  /** End of the soak after the latest canary (ISO 8601, UTC). No other cluster starts before. */
  soakUntil?: string;
  /** Refused messages and other notable events, newest last; at most 50 are kept. */
  notes: string[];
}
