import { isStopped } from './attempts.ts';
import type { MigrationStatus, NodeStatus } from './status.ts';
import { needOf, type Need } from './wait.ts';

/** Something that a migration needs from outside before it can make progress. */
export interface PendingNeed {
  need: Need;
  /** Start of the wait (ISO 8601, UTC). */
  since: string;
}

/** Returns what a migration needs from outside: first for the migration itself, then for each node that waits. */
export function pendingNeeds({ waiting, nodes }: Pick<MigrationStatus, 'waiting' | 'nodes'>): PendingNeed[] {
  const own = waiting === undefined ? [] : [{ need: needOf(waiting.kind), since: waiting.since }];
  return [...own, ...nodes.flatMap(nodeNeed)];
}

function nodeNeed({ waitingSince, needsRepair, repeatedSteps = [] }: NodeStatus): PendingNeed[] {
  if (waitingSince === undefined) return [];
  if (repeatedSteps.some(isStopped)) return [{ need: 'decision', since: waitingSince }];
  return [{ need: needsRepair === true ? 'repair' : 'reboot', since: waitingSince }];
}

/** What a node waits for. */
type NodeWait = Pick<NodeStatus, 'waitingFor' | 'needsRepair' | 'repeatedSteps' | 'answers'>;

/**
 * Shows what a node waits for, or that it waits for nothing. The start of the wait stays until it waits for nothing.
 * @param at time of the change (ISO 8601, UTC).
 */
export function showNodeWait(
  node: NodeStatus,
  { waitingFor, needsRepair, repeatedSteps = [], answers = [] }: NodeWait,
  at: string
): void {
  if (waitingFor === undefined) return endNodeWait(node);
  node.waitingFor = waitingFor;
  node.waitingSince ??= at;
  if (needsRepair === true) node.needsRepair = true;
  else delete node.needsRepair;
  if (repeatedSteps.length > 0) node.repeatedSteps = repeatedSteps;
  else delete node.repeatedSteps;
  if (answers.length > 0) node.answers = answers;
  else delete node.answers;
}

/** Removes what a node waited for. */
export function endNodeWait(node: NodeStatus): void {
  delete node.waitingFor;
  delete node.waitingSince;
  delete node.needsRepair;
  delete node.repeatedSteps;
  delete node.answers;
}
