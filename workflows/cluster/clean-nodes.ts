import type { Network } from '../../model/network.ts';
import { onPresentNodes, waitForAwayNodes } from './away-nodes.ts';
import type { ClusterContext } from './context.ts';

/** Maximum number of nodes cleaned in parallel. */
const maxParallelNodes = 10;

/**
 * Cleans the nodes: links, rules, sets and files. Nodes that are not Ready are cleaned when they are back.
 * @returns false when nodes are left: the caller must look again, or the run must continue as new first.
 * @throws CleanupIncomplete with the names of what is left over.
 */
export async function cleanNodes(context: ClusterContext, traces: Network): Promise<boolean> {
  const { migration, nodes } = context;
  const { run, cluster, state, input } = migration;
  const { coexistenceImage } = input;
  const done = state.doneNodes[`clean ${traces}`];
  const names = await run('nodeNames', 'list nodes', { cluster });
  const cleaned = new Set(done);
  const remaining = names.filter((name) => !cleaned.has(name));
  const away: string[] = [];
  for (let from = 0; from < remaining.length; from += maxParallelNodes) {
    if (migration.isLong) return false;
    const batch = remaining.slice(from, from + maxParallelNodes);
    const clean = (node: string) =>
      run('cleanHost', `${node}: remove leftovers of ${traces}`, { cluster, node, traces, coexistenceImage });
    const left = await onPresentNodes(batch, clean);
    done.push(...batch.filter((node) => !left.includes(node)));
    away.push(...left);
  }
  if (away.length === 0) return true;
  await nodes.refresh();
  await waitForAwayNodes(context, away, `remove what is left of ${traces === 'canal' ? 'Canal' : 'Cilium'} from it`);
  return false;
}
