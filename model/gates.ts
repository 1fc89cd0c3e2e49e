import { z } from 'zod';
import { pathKinds, type NodeLedger, type PathKind, type PathRecord } from './ledger.ts';

const kinds = Object.keys(pathKinds) as [PathKind, ...PathKind[]];

/** Tolerance of a kind of path in ms without an answer; null for a path that no gate checks. */
const tolerance = z.int().min(0).max(3_600_000).nullable();

/** URL that the worker requests: HTTP or HTTPS only, and without a password. */
const url = z
  .url({ protocol: /^https?$/ })
  .max(2_000)
  .refine((text) => !text.includes('@'), 'must not contain a user name or password');

/** Conditions in the input that must hold before the next step. */
export const gatesSchema = z
  .strictObject({
    /**
     * Milliseconds for which a path to or from a node may be without an answer while the node is migrated, in addition
     * to what was usual before.
     * @default 5000
     */
    toleranceMs: z.int().min(0).max(3_600_000).default(5_000),
    /**
     * Tolerance of single kinds of paths; `null` for a kind that no gate checks.
     * @default null for `pod-pod/denied` where policies are not enforced until the cutover
     */
    paths: z.partialRecord(z.enum(kinds), tolerance).default({}),
    /**
     * Prometheus queries, each of which must return a result, and no value above its limit.
     * @default none
     */
    prometheus: z
      .array(
        z.strictObject({
          /** Address of Prometheus. */
          url,
          /** Query in PromQL. */
          query: z.string().min(1).max(4_000),
          /** Upper limit of every value. */
          max: z.number(),
        })
      )
      .max(20)
      .default([]),
    /**
     * URLs that must answer with a status of 200 to 299.
     * @default none
     */
    http: z
      .array(
        z.strictObject({
          /** URL that must answer. */
          url,
        })
      )
      .max(20)
      .default([]),
  })
  .prefault({});

/** Conditions that must hold before the next step. */
export type Gates = z.output<typeof gatesSchema>;

/** A path that had no answer for longer than its tolerance. */
export interface Breach {
  node: string;
  record: PathRecord;
  lostMs: number;
  toleratedMs: number;
}

/** Subject of a gate's evaluation. Times are Unix ms. */
export interface GateScope {
  gates: Gates;
  /** Start of the evaluated period. */
  sinceMs: number;
  untilMs: number;
  /** Period of the baseline, before the migration. */
  baseline: { fromMs: number; toMs: number };
  /**
   * Nodes whose paths are evaluated: paths from or to them, and their paths that lead to no node.
   * @default all
   */
  nodes?: readonly string[];
}

/** Share of the baseline: a path that had no answer for longer than that is not evaluated. */
const brokenShare = 0.5;

/** A path without an answer for this many ms is broken. */
const brokenMs = 2_000;

/** Returns the tolerance of a kind of path in ms; undefined when no gate checks it. */
export function findToleranceMs(gates: Gates, kind: PathKind): number | undefined {
  const explicitMs = gates.paths[kind];
  if (explicitMs !== undefined) return explicitMs ?? undefined;
  return kind === 'pod-pod/denied' ? undefined : gates.toleranceMs;
}

/** Adds a gate for forbidden traffic that got an answer, unless policies are off or the input sets its tolerance. */
export function withPolicies(gates: Gates, enforced: boolean): Gates {
  const forbidden = 'pod-pod/denied';
  if (!enforced || gates.paths[forbidden] !== undefined) return gates;
  return { ...gates, paths: { ...gates.paths, [forbidden]: gates.toleranceMs } };
}

/** Returns the paths that exceed their tolerance, worst first. */
export function findBreaches(ledgers: readonly NodeLedger[], scope: GateScope): Breach[] {
  const breaches = ledgers.flatMap(({ node, records }) =>
    groupByPath(records).flatMap((parts) => findBreach(node, parts, scope) ?? [])
  );
  return breaches.sort((a, b) => b.lostMs - a.lostMs);
}

/** Groups the records by path. The networks of a path change during its migration; it remains the same path. */
function groupByPath(records: readonly PathRecord[]): PathRecord[][] {
  const paths = new Map<string, PathRecord[]>();
  for (const record of records) {
    const key = `${record.kind} ${record.peer ?? ''}`;
    paths.set(key, [...(paths.get(key) ?? []), record]);
  }
  return [...paths.values()];
}

/** Returns the breach of one path; undefined when there is none, or when the scope does not include the path. */
function findBreach(node: string, parts: readonly PathRecord[], scope: GateScope): Breach | undefined {
  const { gates, sinceMs, untilMs, baseline, nodes } = scope;
  const [{ kind, peer = '' }] = parts as [PathRecord];
  const toleratedMs = findToleranceMs(gates, kind);
  if (toleratedMs === undefined) return undefined;
  if (nodes !== undefined && !nodes.includes(node) && !nodes.includes(peer)) return undefined;
  const sumOverParts = (getValue: (record: PathRecord) => number): number =>
    parts.reduce((sum, record) => sum + getValue(record), 0);
  const baselineLostMs = sumOverParts((record) => lostWithin(record, baseline.fromMs, baseline.toMs));
  const baselineShare = baselineLostMs / Math.max(1, baseline.toMs - baseline.fromMs);
  if (baselineShare > brokenShare) return undefined;
  const lost = (record: PathRecord): number => lostWithin(withoutEarlierGaps(record, sinceMs), sinceMs, untilMs);
  const lostMs = Math.round(sumOverParts(lost) - baselineShare * (untilMs - sinceMs));
  if (lostMs <= toleratedMs) return undefined;
  const [worst] = [...parts].sort((a, b) => lost(b) - lost(a)) as [PathRecord];
  return { node, record: worst, lostMs, toleratedMs };
}

/**
 * Removes the gaps of a path that was already broken at `sinceMs` and answered again later: no later step caused
 * them. TCP retransmits after increasing delays (RFC 6298), so a connection can stay silent after a blockage for
 * as long again as the blockage lasted.
 */
function withoutEarlierGaps(record: PathRecord, sinceMs: number): PathRecord {
  const { gaps = [], openMs = 0 } = record;
  return { ...record, gaps: gaps.filter(([startMs]) => startMs > sinceMs - brokenMs || startMs === openMs) };
}

/** Returns the ms without an answer within a period. */
function lostWithin({ gaps = [] }: PathRecord, fromMs: number, toMs: number): number {
  return gaps.reduce(
    (sum, [startMs, ms]) => sum + Math.max(0, Math.min(startMs + ms, toMs) - Math.max(startMs, fromMs)),
    0
  );
}

/** Formats a breach in one line. */
export function breachText({ node, record, lostMs, toleratedMs }: Breach): string {
  const { kind, from, to = '', peer = '', lastError = '' } = record;
  const towards = peer === '' ? '' : ` to ${peer}`;
  const networks = to === '' ? from : `${from} to ${to}`;
  const error = lastError === '' ? '' : `: ${lastError}`;
  const lossText = kind === 'pod-pod/denied' ? 'forbidden traffic got through' : 'no answer';
  return `${kind} from ${node}${towards} (${networks}): ${lossText} for ${lostMs} ms (tolerance ${toleratedMs} ms)${error}`;
}

/**
 * Returns the probable cause of a pattern of broken paths: when nodes reach each other by their own addresses, but not
 * through Cilium's overlay, the network drops the packets of the overlay. Undefined for any other pattern.
 */
export function tunnelSuspicion(ledgers: readonly NodeLedger[], tunnelPort: string, nowMs: number): string | undefined {
  const isBroken = (record: PathRecord): boolean =>
    (record.openMs ?? 0) !== 0 && nowMs - (record.openMs ?? 0) > brokenMs;
  const records = ledgers.flatMap(({ node, records: all, atMs }) =>
    // An old report of a prober does not show the current state.
    nowMs - atMs > 60_000 ? [] : all.map((record) => ({ node, ...record }))
  );
  const broken = records.filter(
    (record) =>
      record.kind.startsWith('pod-pod/') &&
      record.kind !== 'pod-pod/denied' &&
      (record.to === 'cilium' || record.from === 'cilium') &&
      record.peer !== record.node &&
      isBroken(record)
  );
  if (broken.length === 0) return undefined;
  const underlay = records.filter(({ kind }) => kind === 'host-host');
  const isUnderlayUp = (a: string, b: string): boolean =>
    underlay.some((record) => !isBroken(record) && [record.node, record.peer].sort().join() === [a, b].sort().join());
  const pairs = new Map<string, [string, string]>();
  for (const { node, peer = '' } of broken)
    if (isUnderlayUp(node, peer)) pairs.set([node, peer].sort().join(), [node, peer]);
  if (pairs.size === 0) return undefined;
  // A node that all broken pairs have in common is the likely cause.
  const counts = new Map<string, number>();
  for (const name of [...pairs.values()].flat()) counts.set(name, (counts.get(name) ?? 0) + 1);
  const common = [...counts].filter(([, count]) => count === pairs.size && pairs.size > 1).map(([name]) => name);
  const location =
    common.length === 1 ? `to and from ${common.join('')}` : `between ${[...pairs.values()][0]?.join(' and ')}`;
  return (
    `packets of Cilium's overlay are lost ${location}: the nodes reach each other at their own addresses, but not over ` +
    `VXLAN; allow UDP port ${tunnelPort} between all nodes (firewall, security group)`
  );
}
