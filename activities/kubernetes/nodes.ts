import { PatchStrategy, setHeaderOptions, type V1Node } from '@kubernetes/client-node';
import { failure } from '../support/failures.ts';
import type { ClusterConnection } from './connection.ts';
import { isAway } from './conditions.ts';
import { ifFound } from './errors.ts';
import { fieldManager } from './names.ts';
import { allPages } from './pagination.ts';

/** A node of a cluster. */
export interface NodeTarget {
  cluster: string;
  node: string;
}

/** Returns all nodes of the cluster. */
export function listNodes({ core }: ClusterConnection): Promise<V1Node[]> {
  return allPages((page) => core.listNode({ ...page }));
}

/**
 * Reads a node.
 * @throws NodeNotReady when it does not exist.
 */
export async function readNode({ core }: ClusterConnection, node: string): Promise<V1Node> {
  const nodeObject = await ifFound(core.readNode({ name: node }));
  if (nodeObject === undefined) throw failure('NodeNotReady', `the cluster has no node ${node} any more`);
  return nodeObject;
}

/**
 * Reads a node for work that needs it.
 * @throws NodeNotReady when it does not exist, or has not been Ready for a minute.
 */
export async function requirePresent(connection: ClusterConnection, node: string): Promise<void> {
  if (isAway(await readNode(connection, node)))
    throw failure('NodeNotReady', `node ${node} has not been Ready for a minute; repair it, or remove it`);
}

/** Options of {@link patchNode}. */
interface PatchOptions {
  /**
   * True to persist nothing.
   * @default false
   */
  dryRun?: boolean;
}

/** Changes the given fields of a node and leaves the others (JSON merge patch). */
export async function patchNode(
  { core }: ClusterConnection,
  node: string,
  body: object,
  { dryRun = false }: PatchOptions = {}
): Promise<void> {
  const request = { name: node, body, fieldManager, ...(dryRun && { dryRun: 'All' }) };
  await core.patchNode(request, setHeaderOptions('Content-Type', PatchStrategy.MergePatch));
}

/** Removes annotations and labels that start with one of the prefixes from every node. */
export async function removeNodeKeys(connection: ClusterConnection, prefixes: readonly string[]): Promise<void> {
  const items = await listNodes(connection);
  const nullKeys = (present: Record<string, string> = {}): Record<string, null> =>
    Object.fromEntries(
      Object.keys(present)
        .filter((key) => prefixes.some((prefix) => key.startsWith(prefix)))
        .map((key) => [key, null])
    );
  for (const { metadata } of items) {
    const [labels, annotations] = [nullKeys(metadata?.labels), nullKeys(metadata?.annotations)];
    if (Object.keys({ ...labels, ...annotations }).length === 0) continue;
    await patchNode(connection, metadata?.name ?? '', { metadata: { labels, annotations } });
  }
}
