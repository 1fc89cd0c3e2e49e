/**
 * Streaks of answers: how many samples in a row something has answered. On a machine without an idle processor single
 * samples wait for longer than they may; what is broken never has a long streak.
 */
import { readLedger, forbiddenTarget, type LedgerLine } from '../../lab/app/ledger.ts';
import type { Lab } from '../../lab/cluster/lab.ts';
import { until } from '../../lab/process.ts';
import type { PathRecord } from '../../model/ledger.ts';
import { timeLimits } from './time-limits.ts';

/** Samples of a prober on one path since the last one that was lost, as far as the ledger has them. */
export class PathStreaks {
  private readonly since = new Map<string, { sent: number; lost: number }>();

  /** Takes a look at the ledger. @returns each path with its streak. */
  update(records: readonly PathRecord[]): { path: string; streak: number }[] {
    return records.map((record) => {
      const { kind, from, to = '', peer = '', sent, lost = 0 } = record;
      const path = `${kind} ${from}>${to} ${peer}`;
      const before = this.since.get(path);
      // A loss is somewhere between two looks: only what was sent after the look that shows it is in a row.
      if (before?.lost !== lost) this.since.set(path, { sent, lost });
      return { path, streak: sent - (this.since.get(path)?.sent ?? sent) };
    });
  }
}

/** What one client of the sample application saw of one target. */
interface ClientStreak {
  client: string;
  /** Samples in a row that went as they have to: answered, or not answered where a policy forbids it. */
  streak: number;
}

/** Samples in a row, the latest of each client and target, that went as they have to. */
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
 * Lines that no lack of processor time explains: a request that was refused instead of answered late, or an answer that a
 * policy forbids.
 */
export function wrongLines(lines: readonly LedgerLine[]): LedgerLine[] {
  return lines.filter(({ target, sent, failed, error = '' }) =>
    target === forbiddenTarget ? failed < sent : failed > 0 && !/timeout|deadline exceeded/i.test(error)
  );
}

/**
 * Waits until every client of the sample application has seen a streak of each of its targets since now.
 * @param clients names of its pods, and what each of them calls.
 * @returns all lines since. @throws Error with the streaks when the limit is over.
 */
export async function waitForClientStreaks(
  lab: Lab,
  clients: readonly { pod: string; targets: readonly string[] }[],
  { answers, refusals }: { answers: number; refusals: number }
): Promise<LedgerLine[]> {
  // A line begins before what it counts.
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
  const limit = { timeoutMs: timeLimits.clusterChange, everyMs: 1_000 };
  await until('every client to be served', complete, limit).catch((error: unknown) => {
    const failed = lines.filter(({ failed }) => failed > 0).slice(-5);
    throw new Error(`${String(error)}; ${missing().join(', ')}; last failures: ${JSON.stringify(failed)}`, {
      cause: error,
    });
  });
  return lines;
}
