/**
 * Streaks of answers: numbers of successful samples in a row. On a machine without an idle processor, single samples
 * wait longer than they may; something broken never has a long streak.
 */
import { readLedger, forbiddenTarget, type LedgerLine } from '../../lab/app/ledger.ts';
import type { Lab } from '../../lab/cluster/lab.ts';
import { waitFor } from '../../lab/process.ts';
import type { PathRecord } from '../../model/ledger.ts';
import { timeLimits } from './time-limits.ts';

/** Samples of a prober on one path since the last lost one, as far as the ledger has them. */
export class PathStreaks {
  private readonly since = new Map<string, { sent: number; lost: number }>();

  /**
   * Updates the streaks from the ledger.
   * @returns each path with its streak.
   */
  update(records: readonly PathRecord[]): { path: string; streak: number }[] {
    return records.map((record) => {
      const { kind, from, to = '', peer = '', sent, lost = 0 } = record;
      const path = `${kind} ${from}>${to} ${peer}`;
      const before = this.since.get(path);
      // A loss is somewhere between two updates: only samples sent after the update that shows it are in a row.
      if (before?.lost !== lost) this.since.set(path, { sent, lost });
      return { path, streak: sent - (this.since.get(path)?.sent ?? sent) };
    });
  }
}

/** Streak of one client of the sample application at one target. */
interface ClientStreak {
  client: string;
  /** Samples in a row with the expected result: answered, or not answered where a policy forbids it. */
  streak: number;
}

/** Returns the latest streak of each client and target. */
export function clientStreaks(lines: readonly LedgerLine[]): ClientStreak[] {
  const streaks = new Map<string, number>();
  for (const { pod, target, sent, failed } of lines) {
    const client = `${pod} to ${target}`;
    const right = failed === (target === forbiddenTarget ? sent : 0);
    streaks.set(client, right ? (streaks.get(client) ?? 0) + sent : 0);
  }
  return [...streaks].map(([client, streak]) => ({ client, streak }));
}

/**
 * Returns the lines that a lack of processor time does not explain: a request that was refused instead of answered
 * late, or an answer that a policy forbids.
 */
export function wrongLines(lines: readonly LedgerLine[]): LedgerLine[] {
  return lines.filter(({ target, sent, failed, error = '' }) =>
    target === forbiddenTarget ? failed < sent : failed > 0 && !/timeout|deadline exceeded/i.test(error)
  );
}

/**
 * Waits until every client of the sample application has seen a streak of each of its targets since now.
 * @param clients names of its pods, and what each of them calls.
 * @returns all lines since.
 * @throws Error with the streaks when the limit is over.
 */
export async function waitForClientStreaks(
  lab: Lab,
  clients: readonly { pod: string; targets: readonly string[] }[],
  { answers, refusals }: { answers: number; refusals: number }
): Promise<LedgerLine[]> {
  // A line starts before the samples that it counts.
  const since = new Date();
  const expected = clients.flatMap(({ pod, targets }) =>
    targets.map((target) => ({ client: `${pod} to ${target}`, least: target === forbiddenTarget ? refusals : answers }))
  );
  let lines: LedgerLine[] = [];
  const missing = (): string[] => {
    const streaks = new Map(clientStreaks(lines).map(({ client, streak }) => [client, streak]));
    return expected.flatMap(({ client, least }) => {
      const streak = streaks.get(client) ?? 0;
      return streak < least ? [`${client}: ${streak} of ${least}`] : [];
    });
  };
  const complete = async (): Promise<boolean> => {
    lines = await readLedger(lab, since);
    return wrongLines(lines).length > 0 || missing().length === 0;
  };
  const limit = { timeoutMs: timeLimits.clusterChange, pollIntervalMs: 1_000 };
  await waitFor('every client to be served', complete, limit).catch((error: unknown) => {
    const failed = lines.filter(({ failed }) => failed > 0).slice(-5);
    throw new Error(`${String(error)}; ${missing().join(', ')}; last failures: ${JSON.stringify(failed)}`, {
      cause: error,
    });
  });
  return lines;
}
