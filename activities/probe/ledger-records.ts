import { z } from 'zod';
import {
  ledgerStages,
  pathKinds,
  type LedgerRow,
  type LedgerStage,
  type NodeLedger,
  type PathKind,
  type Snapshot,
} from '../../model/ledger.ts';

/** Snapshot at the end of a stage: the totals until then, and the stage's final rows. */
export interface StageSnapshot extends Snapshot {
  /** Start of the stage (Unix, ms). */
  fromMs: number;
  rows: LedgerRow[];
}

/** Snapshots by stage. */
export type StageSnapshots = Partial<Record<LedgerStage, StageSnapshot>>;

/** Maximum numbers of what a ledger lists: more than any prober writes. */
const maxRecords = 10_000;
const maxCounts = 100;
const maxGaps = 1_000;
const maxText = 2_000;

const amount = z.number().min(0);
const text = z.string().max(maxText);
const network = z.enum(['canal', 'cilium', 'host', '']);
const kind = z.enum(Object.keys(pathKinds) as [PathKind, ...PathKind[]]);
const counts = z.array(amount).max(maxCounts);
const pathClass = { kind, from: network, to: network.exactOptional() };

const recordSchema = z.object({
  ...pathClass,
  ...{ peer: text.exactOptional(), sent: amount, lost: amount.exactOptional(), lostMs: amount.exactOptional() },
  ...{ maxMs: amount.exactOptional(), resets: amount.exactOptional(), translated: amount.exactOptional() },
  ...{ translatedTo: text.exactOptional(), lastError: text.exactOptional(), openMs: amount.exactOptional() },
  gaps: z
    .array(z.tuple([amount, amount, amount]))
    .max(maxGaps)
    .exactOptional(),
});
const latencySchema = z.object({ ...pathClass, counts });

/** Removes the entries of a list whose kind of path this build does not know; a prober of a newer image has them. */
const knownKinds = (list: unknown): unknown =>
  Array.isArray(list)
    ? list.filter((entry: { kind?: unknown } | null) => Object.hasOwn(pathKinds, String(entry?.kind)))
    : // Go encodes empty lists as null.
      (list ?? []);

const nodeLedgerSchema = z.object({
  atMs: amount,
  records: z.preprocess(knownKinds, z.array(recordSchema).max(maxRecords)),
  latency: z.preprocess(knownKinds, z.array(latencySchema).max(maxRecords)),
});

const totalsSchema = z.object({
  ...pathClass,
  ...{ sent: amount, lost: amount, lostMs: amount, resets: amount, translated: amount, counts },
});

// Differences of totals may be negative, when a node has left.
const rowSchema = z.object({
  ...pathClass,
  ...{ sent: z.number(), lost: z.number(), lostMs: z.number(), beyondBaselineMs: z.number(), longestMs: z.number() },
  ...{ resets: z.number(), translated: z.number(), p50Ms: z.number(), p99Ms: z.number() },
});

const snapshotSchema = z.object({
  ...{ fromMs: amount, atMs: amount },
  totals: z.array(totalsSchema).max(maxRecords),
  rows: z.array(rowSchema).max(maxRecords),
});

/**
 * Parses what a prober has written.
 * @returns undefined when it is not a ledger: the prober then counts as one that has written none, which gates report.
 */
export function parseNodeLedger(node: string, role: NodeLedger['role'], json: string): NodeLedger | undefined {
  const { data } = nodeLedgerSchema.safeParse(parseJson(json));
  return data && { node, role, ...data };
}

/**
 * Parses the snapshots of the stages that have ended. Entries with other names are ignored.
 * @returns the stage whose snapshot is not valid as `invalid`.
 */
export function parseSnapshots(
  data: Readonly<Record<string, string>>
): { snapshots: StageSnapshots } | { invalid: LedgerStage } {
  const snapshots: StageSnapshots = {};
  for (const stage of ledgerStages) {
    const json = data[stage];
    if (json === undefined) continue;
    const parsed = snapshotSchema.safeParse(parseJson(json));
    if (!parsed.success) return { invalid: stage };
    snapshots[stage] = parsed.data;
  }
  return { snapshots };
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
