import {
  formatRecord,
  withWork,
  withoutWork,
  type RemainingNode,
  type RemainingWork,
  type UnfinishedRecord,
} from '../../model/remaining-nodes.ts';
import type { Migration } from './migration.ts';

/** Restores the remaining nodes of an earlier run from their record in the cluster. */
export function restoreRemaining(migration: Migration, record: UnfinishedRecord | undefined): void {
  if (record === undefined) return;
  migration.state.unfinished = record;
  if (record.nodes.length > 0) return setRemaining(migration, record.nodes);
  migration.note(
    'the record of the nodes without which an earlier run has ended is not readable; what that run did is repeated'
  );
}

/** Adds work that remains to be done on nodes. */
export function addRemaining(migration: Migration, names: readonly string[], work: readonly RemainingWork[]): void {
  if (names.length === 0) return;
  setRemaining(migration, withWork(remainingOf(migration), names, work, new Date().toISOString()));
}

/** Removes work on one node, because it is done. */
export function removeWork(migration: Migration, name: string, done: readonly RemainingWork[]): void {
  setRemaining(migration, withoutWork(remainingOf(migration), name, done));
}

/** Removes work on all nodes, because it is not needed any more. */
export function dropWork(migration: Migration, work: readonly RemainingWork[], reason: string): void {
  for (const { node, work: left } of remainingOf(migration)) {
    if (!left.some((step) => work.includes(step))) continue;
    removeWork(migration, node, work);
    migration.note(`${node}: ${reason}`);
  }
}

/** Forgets the remaining nodes that are no longer in the cluster. */
export function forgetAbsent(migration: Migration, present: readonly string[]): void {
  const remaining = remainingOf(migration);
  if (remaining.length === 0) return;
  const names = new Set(present);
  for (const { node } of remaining) {
    if (!names.has(node)) migration.record(`${node} has left the cluster: nothing remains to be done on it`);
  }
  setRemaining(
    migration,
    remaining.filter(({ node }) => names.has(node))
  );
}

/**
 * Writes the record of the nodes without which the run may end, when it differs from the one in the cluster.
 * @param onlyNodes true when nothing else remains to be done. Unchanged by default.
 */
export async function recordRemaining(migration: Migration, onlyNodes?: true): Promise<void> {
  const { state, cluster, run } = migration;
  const recorded = state.unfinished;
  const nodes = remainingOf(migration).filter(({ skipped }) => skipped !== undefined);
  const record = { onlyNodes: onlyNodes ?? recorded?.onlyNodes ?? false, nodes };
  if (recorded === undefined && nodes.length === 0) return;
  if (recorded !== undefined && nodes.length > 0 && formatRecord(recorded) === formatRecord(record)) return;
  await run('recordUnfinished', 'record the remaining nodes', { cluster, record });
  if (nodes.length > 0) state.unfinished = record;
  else delete state.unfinished;
}

/** Returns the nodes on which something remains to be done. */
export function remainingOf({ status }: Migration): readonly RemainingNode[] {
  return status.remaining ?? [];
}

function setRemaining(migration: Migration, remaining: readonly RemainingNode[]): void {
  if (remaining.length > 0) migration.status.remaining = [...remaining];
  else delete migration.status.remaining;
  migration.publish();
}
