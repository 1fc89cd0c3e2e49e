import { cleaning } from '../../model/remaining-nodes.ts';
import type { Network } from '../../model/network.ts';
import { onPresentNodes } from './away-nodes.ts';
import type { ClusterContext } from './context.ts';
import { cleanNode, maySkip } from './finish-nodes.ts';

/** Maximum number of nodes cleaned in parallel. */
const maxParallelNodes = 10;

/**
 * Cleans the nodes: links, rules, sets and files. Nodes that are not Ready are cleaned when they are back; a person may skip
 * them, so that they remain when the run ends.
 * @returns false when nodes are left: the caller must look again, or the run must continue as new first.
 * @throws CleanupIncomplete with the names of what is left over.
 */
export async function cleanNodes(context: ClusterContext, traces: Network): Promise<boolean> {
  const { migration, nodes } = context;
  const { run, cluster, state } = migration;
  const done = state.doneNodes[`clean ${traces}`];
  const names = await run('nodeNames', 'list nodes', { cluster });
  nodes.forgetAbsent(names);
  const cleaned = new Set(done);
  const uncleaned = names.filter((name) => !cleaned.has(name));
  const away: string[] = [];
  for (let from = 0; from < uncleaned.length; from += maxParallelNodes) {
    if (migration.isLong) return false;
    const batch = uncleaned.slice(from, from + maxParallelNodes);
    const left = await onPresentNodes(batch, (node) => cleanNode(migration, node, traces));
    done.push(...batch.filter((node) => !left.includes(node)));
    away.push(...left);
  }
  if (away.length === 0) return true;
  // Nodes that have left the cluster meanwhile are not waited for.
  const present = new Set((await nodes.refresh()).map(({ name }) => name));
  const left = away.filter((name) => present.has(name));
  return left.length === 0 || maySkip(context, left, cleaning(traces));
}
