/**
 * States of a node, and the only ways in which they change. Each event names its cause; an event that the table does not
 * list for the current state changes nothing.
 */
import type { Decision } from './decision.ts';
import { endNodeWait } from './pending-needs.ts';
import type { NodeState, NodeStatus } from './status.ts';

/** Events in the life of a node. */
export type NodeEvent =
  /** The cluster has no such node any more. */
  | { kind: 'left' }
  /** A node of that name is in the cluster again. */
  | { kind: 'rejoined' }
  /** The cluster shows that the node is fully migrated. */
  | { kind: 'found-migrated' }
  /** The cluster shows that the node is not, or no longer, fully migrated. */
  | { kind: 'found-unmigrated' }
  | { kind: 'found-not-ready' }
  | { kind: 'found-ready' }
  /** The node's migration failed because the node was switched off. */
  | { kind: 'lost' }
  /** The node is in the wave that starts next. */
  | { kind: 'proposed'; wave: number }
  /** The node is not in the next wave any more. */
  | { kind: 'withdrawn' }
  | { kind: 'started'; at: string; approval?: Decision }
  /** The migration was cancelled before the node's own workflow has started. */
  | { kind: 'not-started' }
  | { kind: 'migrated'; at: string }
  | { kind: 'failed'; at: string; failure: { type: string; message: string } }
  /** A rollback that answers a failure keeps the failure, so that an operator decides about the node afterwards. */
  | { kind: 'rollback-started'; keepFailure: boolean }
  | { kind: 'rolled-back'; at: string }
  | { kind: 'skipped'; decision: Decision }
  | { kind: 'retried'; decision: Decision };

type Table = Readonly<Record<NodeEvent['kind'], Partial<Record<NodeState, NodeState>>>>;

/** Next state by event and current state. */
const table: Table = {
  left: {
    pending: 'removed',
    'awaiting-approval': 'removed',
    migrating: 'removed',
    migrated: 'removed',
    failed: 'removed',
    skipped: 'removed',
    'not-ready': 'removed',
    'rolling-back': 'removed',
    'rolled-back': 'removed',
  },
  rejoined: { removed: 'pending' },
  'found-migrated': {
    pending: 'migrated',
    'awaiting-approval': 'migrated',
    'not-ready': 'migrated',
    skipped: 'migrated',
    // Its own workflow was reset or repeated by an operator, and succeeded.
    failed: 'migrated',
  },
  'found-unmigrated': { migrated: 'pending' },
  'found-not-ready': { pending: 'not-ready', 'awaiting-approval': 'not-ready' },
  'found-ready': { 'not-ready': 'pending' },
  lost: { failed: 'not-ready' },
  proposed: { pending: 'awaiting-approval', 'awaiting-approval': 'awaiting-approval' },
  withdrawn: { 'awaiting-approval': 'pending' },
  started: { pending: 'migrating', 'awaiting-approval': 'migrating' },
  'not-started': { migrating: 'pending' },
  migrated: { migrating: 'migrated' },
  failed: { migrating: 'failed', 'rolling-back': 'failed' },
  'rollback-started': {
    migrating: 'rolling-back',
    migrated: 'rolling-back',
    failed: 'rolling-back',
    // A rollback of all nodes includes those that a cancelled migration left in any state.
    ...{ pending: 'rolling-back', 'awaiting-approval': 'rolling-back', skipped: 'rolling-back' },
    ...{ 'not-ready': 'rolling-back', 'rolled-back': 'rolling-back' },
  },
  'rolled-back': { migrating: 'rolled-back', 'rolling-back': 'rolled-back' },
  skipped: {
    ...{ pending: 'skipped', 'awaiting-approval': 'skipped', failed: 'skipped' },
    ...{ skipped: 'skipped', 'not-ready': 'skipped', 'rolled-back': 'skipped' },
  },
  retried: { failed: 'pending', skipped: 'pending', 'not-ready': 'pending', 'rolled-back': 'pending' },
};

/** Returns the states in which an event changes a node. */
export function statesFor(kind: NodeEvent['kind']): NodeState[] {
  return Object.keys(table[kind]) as NodeState[];
}

/**
 * Applies an event to a node.
 * @returns false when the event does not apply to the node's state; the node is unchanged then.
 */
export function transition(node: NodeStatus, event: NodeEvent): boolean {
  const next = table[event.kind][node.state];
  if (next === undefined) return false;
  const previous = node.state;
  node.state = next;
  effects(node, event, previous);
  return true;
}

/** Updates the fields that belong to the state. */
function effects(node: NodeStatus, event: NodeEvent, previous: NodeState): void {
  if (!keepsFailure(event, previous)) delete node.failure;
  switch (event.kind) {
    case 'proposed':
      node.wave = event.wave;
      return;
    case 'started':
      node.startedAt = event.at;
      delete node.endedAt;
      delete node.seconds;
      if (event.approval !== undefined) node.approval = event.approval;
      return;
    case 'not-started':
      delete node.startedAt;
      return;
    case 'migrated':
      node.seconds = Math.round((Date.parse(event.at) - Date.parse(node.startedAt ?? event.at)) / 1_000);
      return end(node, event.at);
    case 'failed':
      node.failure = event.failure;
      return end(node, event.at);
    case 'rolled-back':
      delete node.seconds;
      return end(node, event.at);
    case 'skipped':
    case 'retried':
      node.decision = event.decision;
      return;
    default:
  }
}

function keepsFailure(event: NodeEvent, previous: NodeState): boolean {
  if (event.kind === 'rollback-started') return event.keepFailure;
  return event.kind === 'withdrawn' || (event.kind === 'rolled-back' && previous === 'rolling-back');
}

function end(node: NodeStatus, at: string): void {
  node.endedAt = at;
  delete node.blockers;
  endNodeWait(node);
}

/** True when the node may be part of the next wave. */
export function mayBeProposed({ state }: NodeStatus): boolean {
  return table.proposed[state] !== undefined;
}
