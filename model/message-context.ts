/** What messages of operators are checked against, and what they change. */
import type { Decision } from './decision.ts';
import type { MigrationStatus } from './status.ts';

/** Request to roll back all nodes. */
export interface RollbackRequest extends Decision {
  /**
   * True when it does not wait for maintenance windows.
   * @default false
   */
  outsideWindows?: true;
}

/** Decisions that the workflow still has to act on or to remember. JSON, so that they survive continue-as-new. */
export interface Decisions {
  approvals: { nodes: Record<string, Decision>; waves: Record<string, Decision> };
  /**
   * Where approvals are objects of the cluster: those that a message has claimed, by their subject, and that are not
   * verified yet. They approve nothing.
   * @default none
   */
  claims?: Record<string, Decision>;
  /** Nodes to roll back to Canal. */
  rollbacks: string[];
  /**
   * Nodes of `rollbacks` whose rollback does not wait for maintenance windows.
   * @default none
   */
  outsideWindows?: string[];
  rollbackAll?: RollbackRequest;
  aborted?: Decision;
  rejected?: Decision;
  /** Pods that may be deleted, `namespace/name`. */
  forcedPods: string[];
  /** Reason why the run acts on no message any more. */
  refusal?: string;
}

/** Returns an empty set of decisions. */
export function noDecisions(): Decisions {
  return { approvals: { nodes: {}, waves: {} }, rollbacks: [], forcedPods: [] };
}

/** Removes the request to roll back a node. */
export function forgetRollback(decisions: Decisions, name: string): void {
  decisions.rollbacks = decisions.rollbacks.filter((node) => node !== name);
  const outsideWindows = decisions.outsideWindows?.filter((node) => node !== name) ?? [];
  if (outsideWindows.length > 0) decisions.outsideWindows = outsideWindows;
  else delete decisions.outsideWindows;
}

/** State that a message is checked against and applied to. The status changes too, where it shows the decision. */
export interface MessageContext {
  decisions: Decisions;
  status: MigrationStatus;
  /**
   * True until the cluster is read, and it is not known whether the removal of Canal has begun.
   * @default false
   */
  isUnread?: boolean;
  /**
   * True when the input has maintenance windows.
   * @default false
   */
  hasWindows?: boolean;
  /**
   * True when an approval of the plan must name its digest.
   * @default false
   */
  requiresPlanDigest?: boolean;
  /**
   * True when approvals are objects of the cluster.
   * @default false
   */
  isAuthenticated?: boolean;
}
