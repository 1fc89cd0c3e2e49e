import { summarizeList } from '../../model/summarize.ts';
import type { Migration } from './migration.ts';

/** Notes the nodes that a rollout has left out because they are not Ready. */
export function noteLeftOut(migration: Migration, what: string, nodes: readonly string[]): void {
  if (nodes.length > 0) migration.note(`${what}: left out because they are not Ready: ${summarizeList(nodes)}`);
}
