import type { MigrationStatus } from '../../model/status.ts';
import type { Migration } from '../migration.ts';
import { commandName } from './messages.ts';
import { shellCommand } from '../../model/shell.ts';
import { changes } from './text.ts';

/** Returns the commands of this program that end the wait. */
export function answerCommands(status: MigrationStatus, cluster: string): { does: string; command: string }[] {
  return (status.waiting?.answers ?? []).map(({ does, message, input }) => {
    const flags = Object.entries(input).flatMap(([name, value]) =>
      value === true ? [`--${name}`] : [`--${name}`, String(value)]
    );
    return { does, command: shellCommand(['cni-migrate', commandName(message), cluster, ...flags]) };
  });
}

/**
 * Reports the changes of a migration until its end.
 * @throws the failure of the migration.
 */
export async function follow(migration: Migration, print: (line: string) => void, asJson: boolean): Promise<void> {
  let ended = false;
  const result = migration.result().finally(() => {
    ended = true;
  });
  // Awaited below; until then, its rejection must not count as unhandled.
  result.catch(() => undefined);
  let before: MigrationStatus | undefined;
  while (!ended) {
    // Without a worker that answers, the read fails; the next one may succeed.
    const now = await migration.status().catch((): MigrationStatus | undefined => undefined);
    for (const line of describeChanges(before, now, migration.cluster, asJson)) print(line);
    before = now ?? before;
    await Promise.race([result.catch(() => undefined), new Promise((resolve) => setTimeout(resolve, 1_000))]);
  }
  const report = await result;
  print(asJson ? JSON.stringify(report) : report.phase);
}

function describeChanges(
  before: MigrationStatus | undefined,
  now: MigrationStatus | undefined,
  cluster: string,
  asJson: boolean
): string[] {
  if (now === undefined) return [];
  const lines = changes(before, now);
  if (asJson) return lines.length > 0 ? [JSON.stringify(now)] : [];
  if (before?.waitingFor === now.waitingFor) return lines;
  return [...lines, ...answerCommands(now, cluster).map(({ does, command }) => `    to ${does}: ${command}`)];
}
