import type { Versioned } from '../model/api-version.ts';
import type { NodePage } from '../model/status-view.ts';
import type { MigrationStatus, NodeStatus } from '../model/status.ts';

/** Sends the query `status`. */
type QueryStatus = (page?: NodePage) => Promise<Versioned<MigrationStatus>>;

/**
 * Returns the status with all nodes. A status with many nodes is read in pages; when a node joins or leaves meanwhile,
 * the pages still contain every other node.
 */
export async function queryCompleteStatus(query: QueryStatus): Promise<Versioned<MigrationStatus>> {
  const first = await query();
  if (first.nodeCounts === undefined) return first;
  const nodes = new Map<string, NodeStatus>();
  for (let from: number | undefined = 0; from !== undefined;) {
    const page: MigrationStatus = await query({ from });
    for (const node of page.nodes) nodes.set(node.name, node);
    from = page.nextFrom;
  }
  const { nodeCounts, ...status } = first;
  return { ...status, nodes: [...nodes.values()] };
}
