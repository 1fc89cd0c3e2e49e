import { ApplicationFailure, CancellationScope } from '@temporalio/workflow';
import type { DrainRound } from '../../model/drain-round.ts';
import type { MigrationInput } from '../../model/input.ts';
import { blockerText, type Blocker } from '../../model/status.ts';
import { summarizeLines } from '../../model/summarize.ts';

/** How pods of a node are moved in rounds. */
export interface Rounds {
  /** What is done, for the failure's message. */
  what: string;
  drain: MigrationInput['drain'];
  /** One round of at most so many seconds. */
  round: (seconds: number) => Promise<DrainRound>;
  /** Told what is left after each round, and that nothing is. */
  report: (blockers: Blocker[]) => void;
  /**
   * Called when every pod was looked at once and may go. A round of its own, which only asks for the evictions, comes first
   * then. @default no such round
   */
  onLooked?: () => void;
  /** Changes when the round that is under way is to begin anew, for there is a new decision about a pod. */
  version: () => number;
  /** Registers how to end that round early. */
  onNews: (endRound: () => void) => void;
}

/** Seconds of the rounds: the first are short, so that what blocks is soon seen; the later ones cost little history. */
const roundSeconds = [10, 20, 60, 120, 300] as const;

/**
 * Moves pods round by round until none is left.
 * @throws ApplicationFailure DrainBlocked when the time is over, naming each pod and what holds it.
 */
export async function inRounds({ what, drain, round, report, onLooked, version, onNews }: Rounds): Promise<void> {
  const deadline = Date.now() + drain.timeoutSeconds * 1_000;
  if (onLooked !== undefined) {
    const { left } = await round(0);
    onLooked();
    if (left.length === 0) return;
  }
  for (let number = 0; ; number++) {
    const seconds = roundSeconds[Math.min(number, roundSeconds.length - 1)] ?? 300;
    const untilDeadline = Math.max(1, Math.ceil((deadline - Date.now()) / 1_000));
    const seen = version();
    const scope = new CancellationScope();
    onNews(() => scope.cancel());
    let result: DrainRound;
    try {
      result = await scope.run(() => round(Math.min(seconds, untilDeadline)));
    } catch (error) {
      // With news the next round tells, whatever ended this one: its worker may have died before it heard of it.
      if (version() === seen) throw error;
      continue;
    }
    report(result.left.map(({ pod, reason, kind }) => ({ pod, reason, kind })));
    if (result.left.length === 0) return;
    if (Date.now() < deadline) continue;
    // Those that end are given the time that they were promised, and nobody has to do anything about them.
    const patience = result.left.every(({ kind }) => kind === 'ends');
    if (!patience) throw blocked(what, drain.timeoutSeconds, result.left);
  }
}

function blocked(what: string, seconds: number, left: readonly Blocker[]): ApplicationFailure {
  const lines = summarizeLines(left.map(blockerText), 20);
  const advice = 'make room, ease the budget, or send forcePod; then retry the node';
  return ApplicationFailure.nonRetryable(
    `${what}: waited ${seconds} s for ${left.length} pods:\n${lines.join('\n')}\n${advice}`,
    'DrainBlocked'
  );
}
