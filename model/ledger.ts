/**
 * The ledger: the measurements of the probers on every path. Each prober records its own paths
 * (images/prober/ledger.go); this module combines the records, compares them with the baseline, and evaluates them.
 */
import type { Network } from './network.ts';

/** Kinds of paths on which probers send samples, with a description of each. */
export const pathKinds = {
  'pod-pod/small': 'pod to pod, a new TCP connection and 16 bytes per sample',
  'pod-pod/large': 'pod to pod, a new TCP connection and 4,000 bytes each way: more than one packet',
  'pod-pod/udp': 'pod to pod, UDP',
  'pod-pod/stream': 'pod to pod, over one long-lived TCP connection',
  'pod-pod/allowed': 'pod to pod, where a NetworkPolicy allows only probers',
  'pod-pod/denied': 'pod to pod, where a NetworkPolicy denies all traffic: an answered sample counts as lost',
  'host-pod': 'node to pod',
  'host-host': 'node to node, at their own addresses: the underlying network',
  'pod-service': "pod to a service's address",
  'pod-nodeport': "pod to a node's address and the port of a NodePort service",
  'pod-hostport': "pod to a node's address and a host port",
  'pod-dns/udp': "pod to the cluster's DNS, UDP",
  'pod-dns/tcp': "pod to the cluster's DNS, TCP",
  'pod-api': 'pod to the API server',
  'pod-outside': 'pod to an address outside the cluster',
} as const;

/** One of {@link pathKinds}. */
export type PathKind = keyof typeof pathKinds;

/** Network at one end of a path; empty when unknown. */
export type PathNetwork = Network | 'host' | '';

/** Kind of path between two networks, for which samples are counted together. */
export interface PathClass {
  kind: PathKind;
  from: PathNetwork;
  to?: PathNetwork;
}

/** Record of one prober about one path. Times are Unix ms, lengths ms. */
export interface PathRecord extends PathClass {
  /** Node at the other end, or the address outside the cluster. */
  peer?: string;
  sent: number;
  lost?: number;
  lostMs?: number;
  maxMs?: number;
  resets?: number;
  /**
   * Number of answered samples that the other side received from an address other than the sender's, and the last such
   * address.
   */
  translated?: number;
  translatedTo?: string;
  lastError?: string;
  /** The latest gaps: from the first lost sample to the next answered one. */
  gaps?: [startMs: number, ms: number, lost: number][];
  /** Start of the current gap; 0 or missing when there is none. */
  openMs?: number;
}

/** Records of one prober. */
export interface NodeLedger {
  node: string;
  role: 'pod' | 'host';
  atMs: number;
  records: PathRecord[];
  latency: (PathClass & { counts: number[] })[];
}

/** Sums of all paths of a class, since the first sample. */
export interface ClassTotals extends PathClass {
  sent: number;
  lost: number;
  lostMs: number;
  resets: number;
  translated: number;
  /** Number of answers per latency class: class `i` ends at {@link latencyBound}`(i)`. */
  counts: number[];
}

/** Totals at one moment. */
export interface Snapshot {
  atMs: number;
  totals: ClassTotals[];
}

/** One line of the ledger: a class of paths in one stage of a migration. */
export interface LedgerRow extends PathClass {
  sent: number;
  lost: number;
  /** Sum of all gaps of all paths. */
  lostMs: number;
  /** Part of `lostMs` that exceeds the share that was lost in the baseline. */
  beyondBaselineMs: number;
  longestMs: number;
  /** Long-lived connections that broke. */
  resets: number;
  /** Number of answered samples that arrived from an address other than the sender's. */
  translated: number;
  p50Ms: number;
  p99Ms: number;
}

/** Stages of a migration in the ledger. */
export const ledgerStages = ['before', 'during', 'after'] as const;

/** One of {@link ledgerStages}. */
export type LedgerStage = (typeof ledgerStages)[number];

/** The ledger of a migration, by stage. */
export type Ledger = Partial<Record<LedgerStage, LedgerRow[]>>;

/** True when a stage was measured. A result of the query has other fields too. */
export function isMeasured(ledger: Ledger): boolean {
  return ledgerStages.some((stage) => ledger[stage] !== undefined);
}

/** Returns the upper bound of a latency class in ms; as in images/prober/ledger.go. */
export function latencyBound(index: number): number {
  return 0.1 * 1.5 ** index;
}

/** Returns the latency in ms that the given share of the answers did not exceed; 0 without answers. */
export function percentile(counts: readonly number[], share: number): number {
  const all = counts.reduce((sum, count) => sum + count, 0);
  let seen = 0;
  for (const [index, count] of counts.entries()) {
    seen += count;
    if (all > 0 && seen >= all * share) return latencyBound(index);
  }
  return 0;
}

/** Sums all ledgers by class. */
export function computeTotals(ledgers: readonly NodeLedger[]): ClassTotals[] {
  const sums = new Map<string, ClassTotals>();
  const getTotals = ({ kind, from, to = '' }: PathClass): ClassTotals => {
    const key = classKey({ kind, from, to });
    const existing = sums.get(key);
    if (existing !== undefined) return existing;
    const empty = { kind, from, to, sent: 0, lost: 0, lostMs: 0, resets: 0, translated: 0, counts: [] };
    sums.set(key, empty);
    return empty;
  };
  for (const { records, latency } of ledgers) {
    for (const record of records) {
      const sum = getTotals(record);
      sum.sent += record.sent;
      for (const field of ['lost', 'lostMs', 'resets', 'translated'] as const) sum[field] += record[field] ?? 0;
    }
    for (const line of latency) {
      const sum = getTotals(line);
      sum.counts = line.counts.map((count, index) => count + (sum.counts[index] ?? 0));
    }
  }
  return [...sums.values()].sort((a, b) => order(a) - order(b) || (classKey(a) < classKey(b) ? -1 : 1));
}

/** Returns the part of every class's longest gap that lies after `sinceMs`, in ms. */
export function longestGapsSince(ledgers: readonly NodeLedger[], sinceMs: number): Map<string, number> {
  const longest = new Map<string, number>();
  for (const record of ledgers.flatMap(({ records }) => records)) {
    const key = classKey(record);
    for (const [startMs, ms] of record.gaps ?? []) {
      const inside = Math.min(ms, startMs + ms - sinceMs);
      if (inside > (longest.get(key) ?? 0)) longest.set(key, inside);
    }
  }
  return longest;
}

/** Totals of a class before its first sample. */
const zeroTotals: Omit<ClassTotals, keyof PathClass> = {
  sent: 0,
  lost: 0,
  lostMs: 0,
  resets: 0,
  translated: 0,
  counts: [],
};

/**
 * Computes the lines of one stage.
 * @param start totals at the start of the stage; undefined for the first stage.
 * @param baseline lines of the stage "before", whose share of losses the migration did not cause.
 */
export function buildLedgerRows(
  ledgers: readonly NodeLedger[],
  start: Snapshot | undefined,
  baseline: readonly LedgerRow[]
): LedgerRow[] {
  const before = new Map((start?.totals ?? []).map((totals) => [classKey(totals), totals]));
  const longest = longestGapsSince(ledgers, start?.atMs ?? 0);
  return computeTotals(ledgers)
    .map((now): LedgerRow => {
      const earlier = before.get(classKey(now)) ?? zeroTotals;
      const counts = now.counts.map((count, index) => count - (earlier.counts[index] ?? 0));
      const sent = now.sent - earlier.sent;
      const lostMs = now.lostMs - earlier.lostMs;
      const baselineRows = baseline.filter(({ kind }) => kind === now.kind);
      const baselineSent = baselineRows.reduce((sum, row) => sum + row.sent, 0);
      const baselineLostMs = baselineRows.reduce((sum, row) => sum + row.lostMs, 0);
      const expected = baselineSent === 0 ? 0 : (baselineLostMs / baselineSent) * sent;
      return {
        kind: now.kind,
        from: now.from,
        to: now.to ?? '',
        sent,
        lost: now.lost - earlier.lost,
        lostMs,
        beyondBaselineMs: Math.max(0, Math.round(lostMs - expected)),
        longestMs: longest.get(classKey(now)) ?? 0,
        resets: now.resets - earlier.resets,
        translated: now.translated - earlier.translated,
        p50Ms: round(percentile(counts, 0.5)),
        p99Ms: round(percentile(counts, 0.99)),
      };
    })
    .filter(({ sent }) => sent > 0);
}

/** Combines the lines of a stage across networks: one line per kind of path. */
export function byKind(rows: readonly LedgerRow[]): LedgerRow[] {
  const kinds = new Map<PathKind, LedgerRow>();
  for (const row of rows) {
    const sum = kinds.get(row.kind);
    if (sum === undefined) {
      kinds.set(row.kind, { ...row, from: '', to: '' });
      continue;
    }
    // The mean of the parts' medians, weighted by samples; the maximum for the 99th percentile.
    sum.p50Ms = round((sum.p50Ms * sum.sent + row.p50Ms * row.sent) / (sum.sent + row.sent));
    sum.p99Ms = Math.max(sum.p99Ms, row.p99Ms);
    sum.longestMs = Math.max(sum.longestMs, row.longestMs);
    for (const field of ['sent', 'lost', 'lostMs', 'beyondBaselineMs', 'resets', 'translated'] as const) {
      sum[field] += row[field];
    }
  }
  return [...kinds.values()];
}

/** Returns the key of a class. */
export function classKey({ kind, from, to = '' }: PathClass): string {
  return `${kind} ${from}>${to}`;
}

function order({ kind }: PathClass): number {
  return Object.keys(pathKinds).indexOf(kind);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
