import type { Network } from '../../model/network.ts';
import { allOrCancel } from '../support/all-or-cancel.ts';
import type { Migration } from './migration.ts';

/** Maximum number of nodes cleaned in parallel. */
const maxParallelNodes = 10;

/**
 * Cleans the nodes: links, rules, sets and files.
 * @returns false when nodes are left and the run must continue as new first.
 * @throws CleanupIncomplete with the names of what is left over.
 */
export async function cleanNodes(migration: Migration, traces: Network): Promise<boolean> {
  const { run, cluster, state } = migration;
  const done = state.doneNodes[`clean ${traces}`];
  const names = await run('nodeNames', 'list nodes', { cluster });
  const cleaned = new Set(done);
  const remaining = names.filter((name) => !cleaned.has(name));
  for (let from = 0; from < remaining.length; from += maxParallelNodes) {
    if (migration.isLong) return false;
    const batch = remaining.slice(from, from + maxParallelNodes);
    const clean = (node: string) =>
      run('cleanHost', `${node}: remove leftovers of ${traces}`, { cluster, node, traces });
    await allOrCancel(...batch.map((node) => () => clean(node)));
    done.push(...batch);
  }
  return true;
}
