/**
 * Nodes on which something remains to be done when a migration or a rollback has no other work, because they are switched
 * off. They are finished when they are back.
 */
import { z } from 'zod';
import type { Decision } from './decision.ts';
import type { Network } from './network.ts';
import { nodeNameSchema } from './object-names.ts';

/** What can remain to be done on a node, in the order in which it is done. */
export const remainingWork = ['restart-agent', 'clean-canal', 'clean-cilium'] as const;

/** One of {@link remainingWork}. */
export type RemainingWork = (typeof remainingWork)[number];

/** A node on which something remains to be done. */
export interface RemainingNode {
  node: string;
  /** Time since which it is known that something remains (ISO 8601, UTC). */
  since: string;
  /**
   * What remains, in order: `restart-agent` restarts Cilium's agent with the final configuration; `clean-canal` and
   * `clean-cilium` remove links, rules, sets and files of that network.
   */
  work: RemainingWork[];
  /** Decision to end the run without the node. Undefined while the run waits for it. */
  skipped?: Decision;
}

/** Record of the remaining nodes in the cluster, which a later run reads. */
export interface UnfinishedRecord {
  /** True when nothing else remains to be done in the cluster. */
  onlyNodes: boolean;
  nodes: RemainingNode[];
}

/**
 * Maximum number of nodes that a run may end without: with the texts cut, their record always fits into the annotations of
 * one object, 256 KiB in total (k8s.io/apimachinery pkg/api/validation).
 */
export const maxRemainingNodes = 100;

/** Limits of the texts in the record, in characters, of which JSON can write each as six bytes. */
const maxSenderLength = 60;
const maxReasonLength = 100;

/** Maximum length of a record that is read, in characters. */
const maxRecordLength = 262_144;

const texts: Readonly<Record<RemainingWork, string>> = {
  'restart-agent': "restart Cilium's agent with the final configuration",
  'clean-canal': 'remove what is left of Canal',
  'clean-cilium': 'remove what is left of Cilium',
};

/** Returns the work as a verb phrase. */
export function workText(work: readonly RemainingWork[]): string {
  return work.map((step) => texts[step]).join(', and ');
}

/** Returns what remains on a node in one line. */
export function remainingText({ node, since, work, skipped }: RemainingNode): string {
  const end = skipped === undefined ? '' : `; skipped by ${skipped.by}`;
  return `${node}: ${workText(work)} (since ${since}${end})`;
}

/** Returns the work that removes a network from a node. */
export function cleaning(network: Network): RemainingWork {
  return network === 'canal' ? 'clean-canal' : 'clean-cilium';
}

/** Returns true when the run may end without the node. */
export function isSkipped(remaining: readonly RemainingNode[] = [], name: string): boolean {
  return remaining.find(({ node }) => node === name)?.skipped !== undefined;
}

/** Returns the nodes with more work on some of them; nodes that were not among them follow at the end. */
export function withWork(
  remaining: readonly RemainingNode[],
  names: readonly string[],
  work: readonly RemainingWork[],
  since: string
): RemainingNode[] {
  const added = new Set(names);
  const known = new Set(remaining.map(({ node }) => node));
  const changed = remaining.map((entry) =>
    added.has(entry.node) ? { ...entry, work: inOrder([...entry.work, ...work]) } : entry
  );
  const others = [...added].filter((node) => !known.has(node)).map((node) => ({ node, since, work: inOrder(work) }));
  return [...changed, ...others];
}

/** Returns the nodes without some of the work on one of them; a node without work does not remain. */
export function withoutWork(
  remaining: readonly RemainingNode[],
  name: string,
  done: readonly RemainingWork[]
): RemainingNode[] {
  return remaining.flatMap((entry) => {
    if (entry.node !== name) return [entry];
    const work = entry.work.filter((step) => !done.includes(step));
    return work.length === 0 ? [] : [{ ...entry, work }];
  });
}

function inOrder(work: readonly RemainingWork[]): RemainingWork[] {
  return remainingWork.filter((step) => work.includes(step));
}

const decisionSchema = z.object({ by: z.string().max(253), reason: z.string().max(500), at: z.iso.datetime() });

/** Schema of the record, which anyone with write access to our namespace can change. */
const recordSchema = z.object({
  onlyNodes: z.boolean(),
  nodes: z
    .array(
      z.object({
        node: nodeNameSchema,
        since: z.iso.datetime(),
        work: z.array(z.enum(remainingWork)).min(1).max(remainingWork.length),
        skipped: decisionSchema,
      })
    )
    .max(maxRemainingNodes),
});

/** Record of which nothing could be read: everything is done again, so that no node is forgotten. */
export const unreadableRecord: UnfinishedRecord = { onlyNodes: false, nodes: [] };

/** Returns the record as text: of the nodes, those that a run may end without. */
export function formatRecord({ onlyNodes, nodes }: UnfinishedRecord): string {
  const skippedNodes = nodes.flatMap(({ skipped, ...entry }) =>
    skipped === undefined ? [] : [{ ...entry, skipped: shorten(skipped) }]
  );
  return JSON.stringify({ onlyNodes, nodes: skippedNodes });
}

function shorten({ by, reason, at }: Decision): Decision {
  return { by: by.slice(0, maxSenderLength), reason: reason.slice(0, maxReasonLength), at };
}

/** Parses a record. @returns {@link unreadableRecord} for a text that is not one. */
export function parseRecord(text: string): UnfinishedRecord {
  if (text.length > maxRecordLength) return unreadableRecord;
  try {
    const parsed = recordSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : unreadableRecord;
  } catch {
    return unreadableRecord;
  }
}
