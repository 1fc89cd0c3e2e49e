import { ApplicationFailure, CancellationScope } from '@temporalio/workflow';
import type { DrainRound } from '../../model/drain-round.ts';
import type { MigrationInput } from '../../model/input.ts';
import { blockerText, type Blocker } from '../../model/status.ts';
import { summarizeLines } from '../../model/summarize.ts';

/** Options of a drain in rounds. */
export interface Rounds {
  /** Name of the operation, for the failure's message. */
  what: string;
  drain: MigrationInput['drain'];
  /** Runs one round with a maximum duration in seconds. */
  round: (seconds: number) => Promise<DrainRound>;
  /** Called after each round with the remaining blockers, also when there are none. */
  report: (blockers: Blocker[]) => void;
  /**
   * Called when every pod was checked once and may be evicted. A separate first round then only requests the evictions.
   * @default no such round
   */
  onLooked?: () => void;
  /** Changes with each new decision about a pod, for which the current round must restart. */
  version: () => number;
  /** Registers the function that ends the current round early. */
  onNews: (endRound: () => void) => void;
}

/**
 * Seconds per round: short at first, so that blockers are visible soon; later longer, so that they add little history.
 */
const roundSeconds = [10, 20, 60, 120, 300] as const;

/**
 * Drains round by round until no pod is left.
 * @throws ApplicationFailure DrainBlocked on timeout, with each pod and its blocker.
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
      // After a new decision only the next round counts, even when this one failed: its worker may have died before it
      // received the cancellation.
      if (version() === seen) throw error;
      continue;
    }
    report(result.left.map(({ pod, reason, kind }) => ({ pod, reason, kind })));
    if (result.left.length === 0) return;
    if (Date.now() < deadline) continue;
    // Terminating pods keep the grace period that they were given, and need no action of an operator.
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
