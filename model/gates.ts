import { z } from 'zod';
import { pathKinds, type LedgerPage, type PathKind, type PathRecord } from './ledger.ts';

const kinds = Object.keys(pathKinds) as [PathKind, ...PathKind[]];

/** What is tolerated of a kind of path: ms without an answer, or null for a path that no gate looks at. */
const tolerance = z.int().min(0).max(3_600_000).nullable();

/** An address that the worker asks; only those of the web, and none with a password in it. */
const url = z
  .url({ protocol: /^https?$/ })
  .max(2_000)
  .refine((text) => !text.includes('@'), 'must hold no user name and no password');

/** What has to hold before the next step, in the input. */
export const gatesSchema = z
  .strictObject({
    /**
     * For how many ms a path to or from a node may be without an answer, while the node is migrated, beyond what was usual
     * before. @default 5000
     */
    toleranceMs: z.int().min(0).max(3_600_000).default(5_000),
    /**
     * The same for single kinds of paths; `null` for one that no gate looks at. @default null for `pod-pod/denied` where
     * policies are not enforced until the cut-over
     */
    paths: z.partialRecord(z.enum(kinds), tolerance).default({}),
    /** Queries to Prometheus, each of which must give no value above its limit, and answer at all. @default none */
    prometheus: z
      .array(z.strictObject({ url, query: z.string().min(1).max(4_000), max: z.number() }))
      .max(20)
      .default([]),
    /** Addresses that must answer with a status of 200 to 299. @default none */
    http: z.array(z.strictObject({ url })).max(20).default([]),
  })
  .prefault({});

/** What has to hold before the next step. */
export type Gates = z.output<typeof gatesSchema>;

/** A path that was without an answer for longer than is tolerated. */
export interface Breach {
  node: string;
  record: PathRecord;
  lostMs: number;
  toleratedMs: number;
}

/** What a gate is asked about. Times are Unix ms. */
export interface GateQuestion {
  gates: Gates;
  /** The time that is looked at. */
  sinceMs: number;
  untilMs: number;
  /** How it was before the migration. */
  baseline: { fromMs: number; toMs: number };
  /** Only paths from or to these nodes, and those of theirs that lead to no node. @default all */
  nodes?: readonly string[];
}

/** A path that was without an answer for more than this share of the time before the migration is not judged. */
const brokenShare = 0.5;

/** A path is broken when it has been without an answer for so long, in ms. */
const brokenMs = 2_000;

/** The tolerance for a kind of path, in ms; undefined where no gate looks at it. */
export function toleranceOf(gates: Gates, kind: PathKind): number | undefined {
  const own = gates.paths[kind];
  if (own !== undefined) return own ?? undefined;
  return kind === 'pod-pod/denied' ? undefined : gates.toleranceMs;
}

/** Gates that also look for what policies forbid and was answered, unless policies are off or the input says otherwise. */
export function withPolicies(gates: Gates, enforced: boolean): Gates {
  const forbidden = 'pod-pod/denied';
  if (!enforced || gates.paths[forbidden] !== undefined) return gates;
  return { ...gates, paths: { ...gates.paths, [forbidden]: gates.toleranceMs } };
}

/** The paths that were worse than is tolerated, worst first. */
export function breachesOf(pages: readonly LedgerPage[], question: GateQuestion): Breach[] {
  const found = pages.flatMap(({ node, records }) =>
    pathsOf(records).flatMap((parts) => breachOf(node, parts, question) ?? [])
  );
  return found.sort((a, b) => b.lostMs - a.lostMs);
}

/** The records of each path. The networks of a path change during its migration; it is the same path all the same. */
function pathsOf(records: readonly PathRecord[]): PathRecord[][] {
  const paths = new Map<string, PathRecord[]>();
  for (const record of records) {
    const key = `${record.kind} ${record.peer ?? ''}`;
    paths.set(key, [...(paths.get(key) ?? []), record]);
  }
  return [...paths.values()];
}

/** The breach of one path; undefined when there is none, or when it is not one of those that are asked about. */
function breachOf(node: string, parts: readonly PathRecord[], question: GateQuestion): Breach | undefined {
  const { gates, sinceMs, untilMs, baseline, nodes } = question;
  const [{ kind, peer = '' }] = parts as [PathRecord];
  const toleratedMs = toleranceOf(gates, kind);
  if (toleratedMs === undefined) return undefined;
  if (nodes !== undefined && !nodes.includes(node) && !nodes.includes(peer)) return undefined;
  const sumOf = (of: (record: PathRecord) => number): number => parts.reduce((sum, record) => sum + of(record), 0);
  const before = sumOf((record) => lostWithin(record, baseline.fromMs, baseline.toMs));
  const usual = before / Math.max(1, baseline.toMs - baseline.fromMs);
  if (usual > brokenShare) return undefined;
  const lost = (record: PathRecord): number => lostWithin(withoutFound(record, sinceMs), sinceMs, untilMs);
  const lostMs = Math.round(sumOf(lost) - usual * (untilMs - sinceMs));
  if (lostMs <= toleratedMs) return undefined;
  const [worst] = [...parts].sort((a, b) => lost(b) - lost(a)) as [PathRecord];
  return { node, record: worst, lostMs, toleratedMs };
}

/**
 * Without the gaps of a path that was broken already at that moment, and answered again later: what was done since did not
 * cause them. TCP sends again after ever longer pauses (RFC 6298), so that a connection is silent for up to as long again
 * as what blocked it lasted.
 */
function withoutFound(record: PathRecord, sinceMs: number): PathRecord {
  const { gaps = [], openMs = 0 } = record;
  return { ...record, gaps: gaps.filter(([startMs]) => startMs > sinceMs - brokenMs || startMs === openMs) };
}

/** Ms without an answer in a span of time. */
function lostWithin({ gaps = [] }: PathRecord, fromMs: number, toMs: number): number {
  return gaps.reduce(
    (sum, [startMs, ms]) => sum + Math.max(0, Math.min(startMs + ms, toMs) - Math.max(startMs, fromMs)),
    0
  );
}

/** A breach in one line. */
export function breachText({ node, record, lostMs, toleratedMs }: Breach): string {
  const { kind, from, to = '', peer = '', lastError = '' } = record;
  const towards = peer === '' ? '' : ` to ${peer}`;
  const networks = to === '' ? from : `${from} to ${to}`;
  const error = lastError === '' ? '' : `: ${lastError}`;
  const what = kind === 'pod-pod/denied' ? 'was answered, which a policy forbids, for' : 'was without an answer for';
  return `${kind} from ${node}${towards} (${networks}) ${what} ${lostMs} ms, ${toleratedMs} are tolerated${error}`;
}

/**
 * What the pattern of broken paths points to: when nodes reach each other by their own addresses, but not through
 * Cilium's overlay, its packets do not get through. Undefined where the pattern is another one.
 */
export function tunnelSuspicion(pages: readonly LedgerPage[], tunnelPort: string, nowMs: number): string | undefined {
  const open = (record: PathRecord): boolean => (record.openMs ?? 0) !== 0 && nowMs - (record.openMs ?? 0) > brokenMs;
  const records = pages.flatMap(({ node, records: all, atMs }) =>
    // What a prober said long ago says nothing about now.
    nowMs - atMs > 60_000 ? [] : all.map((record) => ({ node, ...record }))
  );
  const broken = records.filter(
    (record) =>
      record.kind.startsWith('pod-pod/') &&
      record.kind !== 'pod-pod/denied' &&
      (record.to === 'cilium' || record.from === 'cilium') &&
      record.peer !== record.node &&
      open(record)
  );
  if (broken.length === 0) return undefined;
  const underlay = records.filter(({ kind }) => kind === 'host-host');
  const sound = (a: string, b: string): boolean =>
    underlay.some((record) => !open(record) && [record.node, record.peer].sort().join() === [a, b].sort().join());
  const pairs = new Map<string, [string, string]>();
  for (const { node, peer = '' } of broken) if (sound(node, peer)) pairs.set([node, peer].sort().join(), [node, peer]);
  if (pairs.size === 0) return undefined;
  // The node that all broken pairs have in common is the one to look at.
  const counts = new Map<string, number>();
  for (const name of [...pairs.values()].flat()) counts.set(name, (counts.get(name) ?? 0) + 1);
  const common = [...counts].filter(([, count]) => count === pairs.size && pairs.size > 1).map(([name]) => name);
  const where =
    common.length === 1 ? `to and from ${common.join('')}` : `between ${[...pairs.values()][0]?.join(' and ')}`;
  return (
    `packets of Cilium's overlay do not get through ${where}: the nodes reach each other by their own addresses, but ` +
    `not over VXLAN; let UDP port ${tunnelPort} through between all nodes (firewall, security group)`
  );
}
