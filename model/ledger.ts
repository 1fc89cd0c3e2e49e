/**
 * The ledger: what the probers saw of every path. Each writes down what it knows of its own paths (images/prober/ledger.go);
 * here it is put together, compared with how it was before the migration, and judged.
 */

/** The ways on which probers send samples, and what each is. */
export const pathKinds = {
  'pod-pod/small': 'pod to pod, a new TCP connection and 16 bytes each',
  'pod-pod/large': 'pod to pod, a new TCP connection and 4,000 bytes each way: more than one packet',
  'pod-pod/udp': 'pod to pod, UDP',
  'pod-pod/stream': 'pod to pod, over one TCP connection that is kept open',
  'pod-pod/allowed': 'pod to pod, where a NetworkPolicy lets probers alone through',
  'pod-pod/denied': 'pod to pod, where a NetworkPolicy lets nobody through: lost is what was answered',
  'host-pod': 'node to pod',
  'host-host': 'node to node, without any pod network: what the network below does',
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

/** The network that an end of a path is in; empty where that is not known. */
export type PathNetwork = 'canal' | 'cilium' | 'host' | '';

/** What is sampled: a kind of path between two networks. */
export interface PathClass {
  kind: PathKind;
  from: PathNetwork;
  to?: PathNetwork;
}

/** What one prober saw of one path. Times are Unix ms, lengths ms. */
export interface PathRecord extends PathClass {
  /** Node of the other end, or its address outside the cluster. */
  peer?: string;
  sent: number;
  lost?: number;
  lostMs?: number;
  maxMs?: number;
  resets?: number;
  /** Answers to samples that the other side saw under another address than the sender's, and the last such address. */
  translated?: number;
  translatedTo?: string;
  lastError?: string;
  /** The latest gaps: from the first lost sample to the next answered one. */
  gaps?: [startMs: number, ms: number, lost: number][];
  /** When the gap began that is not over; 0 or missing when there is none. */
  openMs?: number;
}

/** What one prober has written down. */
export interface LedgerPage {
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
  /** Number of answers by their time: class `i` ends at {@link latencyBound}`(i)`. */
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
  /** What of that goes beyond the share that was lost before the migration. */
  beyondBaselineMs: number;
  longestMs: number;
  /** Long-lived connections that broke. */
  resets: number;
  /** Answers to samples whose sender was seen under another address than its own. */
  translated: number;
  p50Ms: number;
  p99Ms: number;
}

/** The stages of a migration, as the ledger has them. */
export const ledgerStages = ['before', 'during', 'after'] as const;

/** One of {@link ledgerStages}. */
export type LedgerStage = (typeof ledgerStages)[number];

/** The ledger of a migration, by stage. */
export type Ledger = Partial<Record<LedgerStage, LedgerRow[]>>;

/** Upper end of a class of latencies, in ms; as in images/prober/ledger.go. */
export function latencyBound(index: number): number {
  return 0.1 * 1.5 ** index;
}

/** The latency, in ms, that the given share of the answers stayed below; 0 when there was none. */
export function percentile(counts: readonly number[], share: number): number {
  const all = counts.reduce((sum, count) => sum + count, 0);
  let seen = 0;
  for (const [index, count] of counts.entries()) {
    seen += count;
    if (all > 0 && seen >= all * share) return latencyBound(index);
  }
  return 0;
}

/** Sums of all pages, by class. */
export function totalsOf(pages: readonly LedgerPage[]): ClassTotals[] {
  const sums = new Map<string, ClassTotals>();
  const sumOf = ({ kind, from, to = '' }: PathClass): ClassTotals => {
    const key = classKey({ kind, from, to });
    const known = sums.get(key);
    if (known !== undefined) return known;
    const empty = { kind, from, to, sent: 0, lost: 0, lostMs: 0, resets: 0, translated: 0, counts: [] };
    sums.set(key, empty);
    return empty;
  };
  for (const { records, latency } of pages) {
    for (const record of records) {
      const sum = sumOf(record);
      sum.sent += record.sent;
      for (const field of ['lost', 'lostMs', 'resets', 'translated'] as const) sum[field] += record[field] ?? 0;
    }
    for (const line of latency) {
      const sum = sumOf(line);
      sum.counts = line.counts.map((count, index) => count + (sum.counts[index] ?? 0));
    }
  }
  return [...sums.values()].sort((a, b) => order(a) - order(b) || (classKey(a) < classKey(b) ? -1 : 1));
}

/** The part of every class's longest gap that lies after a moment, in ms. */
export function longestSince(pages: readonly LedgerPage[], sinceMs: number): Map<string, number> {
  const longest = new Map<string, number>();
  for (const record of pages.flatMap(({ records }) => records)) {
    const key = classKey(record);
    for (const [startMs, ms] of record.gaps ?? []) {
      const inside = Math.min(ms, startMs + ms - sinceMs);
      if (inside > (longest.get(key) ?? 0)) longest.set(key, inside);
    }
  }
  return longest;
}

/** Totals of a class before its first sample. */
const nothing: Omit<ClassTotals, keyof PathClass> = {
  sent: 0,
  lost: 0,
  lostMs: 0,
  resets: 0,
  translated: 0,
  counts: [],
};

/**
 * The lines of one stage.
 * @param begin totals when the stage began; none at the very beginning.
 * @param baseline lines of the stage "before", whose losses are no fault of the migration.
 */
export function rowsOf(
  pages: readonly LedgerPage[],
  begin: Snapshot | undefined,
  baseline: readonly LedgerRow[]
): LedgerRow[] {
  const before = new Map((begin?.totals ?? []).map((totals) => [classKey(totals), totals]));
  const longest = longestSince(pages, begin?.atMs ?? 0);
  return totalsOf(pages)
    .map((now): LedgerRow => {
      const then = before.get(classKey(now)) ?? nothing;
      const counts = now.counts.map((count, index) => count - (then.counts[index] ?? 0));
      const sent = now.sent - then.sent;
      const lostMs = now.lostMs - then.lostMs;
      const usual = baseline.filter(({ kind }) => kind === now.kind);
      const usualSent = usual.reduce((sum, row) => sum + row.sent, 0);
      const usualLost = usual.reduce((sum, row) => sum + row.lostMs, 0);
      const expected = usualSent === 0 ? 0 : (usualLost / usualSent) * sent;
      return {
        kind: now.kind,
        from: now.from,
        to: now.to ?? '',
        sent,
        lost: now.lost - then.lost,
        lostMs,
        beyondBaselineMs: Math.max(0, Math.round(lostMs - expected)),
        longestMs: longest.get(classKey(now)) ?? 0,
        resets: now.resets - then.resets,
        translated: now.translated - then.translated,
        p50Ms: round(percentile(counts, 0.5)),
        p99Ms: round(percentile(counts, 0.99)),
      };
    })
    .filter(({ sent }) => sent > 0);
}

/** The lines of a stage with all networks together: one for each kind of path. */
export function byKind(rows: readonly LedgerRow[]): LedgerRow[] {
  const kinds = new Map<PathKind, LedgerRow>();
  for (const row of rows) {
    const sum = kinds.get(row.kind);
    if (sum === undefined) {
      kinds.set(row.kind, { ...row, from: '', to: '' });
      continue;
    }
    // A latency between those of the parts, weighed by their samples; the slowest part's for the 99th percentile.
    sum.p50Ms = round((sum.p50Ms * sum.sent + row.p50Ms * row.sent) / (sum.sent + row.sent));
    sum.p99Ms = Math.max(sum.p99Ms, row.p99Ms);
    sum.longestMs = Math.max(sum.longestMs, row.longestMs);
    for (const field of ['sent', 'lost', 'lostMs', 'beyondBaselineMs', 'resets', 'translated'] as const) {
      sum[field] += row[field];
    }
  }
  return [...kinds.values()];
}

/** A key for each class. */
export function classKey({ kind, from, to = '' }: PathClass): string {
  return `${kind} ${from}>${to}`;
}

function order({ kind }: PathClass): number {
  return Object.keys(pathKinds).indexOf(kind);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
