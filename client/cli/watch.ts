import type { Answer } from '../../model/decision.ts';
import type { MigrationStatus } from '../../model/status.ts';
import { openAnswers } from '../../model/step-answers.ts';
import type { Migration } from '../migration.ts';
import { commandName } from './messages.ts';
import { oneLine, printableJson } from '../../model/printable.ts';
import { shellCommand } from '../../model/shell.ts';
import { changes } from './text.ts';

/**
 * Returns the commands of this program that end the wait.
 * @param target words that name the migration: the cluster, and options for the connection.
 */
export function answerCommands(
  status: MigrationStatus,
  target: readonly string[]
): { does: string; command: string }[] {
  return openAnswers(status).map((answer) => ({
    does: answer.does,
    command: answerCommand(answer, target),
  }));
}

function answerCommand({ message, input }: Answer, target: readonly string[]): string {
  const flags = Object.entries(input).flatMap(([name, value]) =>
    value === true ? [`--${name}`] : [name === 'plan' ? '--plan-digest' : `--${name}`, String(value)]
  );
  return shellCommand(['cni-migrate', commandName(message), ...target, ...flags]);
}

/** A change of a migration's status. */
export interface StatusChange {
  now: MigrationStatus;
  /** Text of what changed, in lines; none when nothing worth a line changed. */
  lines: string[];
  /** Messages that end the wait, when a new wait has started. */
  answers: readonly Answer[];
}

/** Interval between two reads of the status, in ms. */
const pollIntervalMs = 1_000;

/**
 * Watches the status of a migration until its result settles, and reports each read of the status.
 * @param signal ends the watch.
 * @throws the signal's reason when it is aborted; never the failure of the migration.
 */
export async function watchStatus(
  migration: Migration,
  result: Promise<unknown>,
  report: (change: StatusChange) => void,
  signal?: AbortSignal
): Promise<void> {
  let hasEnded = false;
  const end = result
    .catch(() => undefined)
    .finally(() => {
      hasEnded = true;
    });
  let before: MigrationStatus | undefined;
  while (!hasEnded) {
    signal?.throwIfAborted();
    // A query gets no answer while no worker runs; the next read may succeed.
    const now = await migration.status().catch((): MigrationStatus | undefined => undefined);
    if (now !== undefined) {
      const answers = now.waitingFor === before?.waitingFor ? [] : openAnswers(now);
      report({ now, lines: changes(before, now), answers });
      before = now;
    }
    await Promise.race([end, new Promise((resolve) => setTimeout(resolve, pollIntervalMs))]);
  }
}

/** How {@link follow} prints. */
export interface FollowOptions {
  print: (line: string) => void;
  asJson: boolean;
  /** Words that name the migration in commands. */
  target: readonly string[];
}

/**
 * Prints the changes of a migration until its end, and its last phase or, as JSON, its report.
 * @throws the failure of the migration.
 */
export async function follow(migration: Migration, { print, asJson, target }: FollowOptions): Promise<void> {
  const result = migration.result();
  await watchStatus(migration, result, ({ now, lines, answers }) => {
    if (asJson) {
      if (lines.length > 0) print(printableJson(now));
      return;
    }
    for (const line of lines) print(line);
    for (const answer of answers) print(`    to ${oneLine(answer.does)}: ${answerCommand(answer, target)}`);
  });
  const report = await result;
  print(asJson ? printableJson(report) : report.phase);
}
