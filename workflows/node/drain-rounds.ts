import { ApplicationFailure, CancellationScope } from '@temporalio/workflow';
import type { DrainRound } from '../../model/drain-round.ts';
import type { MigrationInput } from '../../model/input.ts';
import { blockerText, type Blocker } from '../../model/status.ts';
import { summarizeLines } from '../../model/summarize.ts';

/** Options of a drain in rounds. */
export interface DrainRoundsOptions {
  /** Name of the operation, for the failure's message. */
  operation: string;
  drain: MigrationInput['drain'];
  /** Runs one round with a maximum duration in seconds. */
  runRound: (seconds: number) => Promise<DrainRound>;
  /** Called after each round with the remaining blockers, also when there are none. */
  report: (blockers: Blocker[]) => void;
  /**
   * Called when every pod was checked once and may be evicted. A separate first round then only requests the evictions.
   * @default no such round
   */
  onChecked?: () => void;
  /** Changes with each new decision about a pod, for which the current round must restart. */
  version: () => number;
  /** Registers the function that ends the current round early. */
  onRoundStart: (endRound: () => void) => void;
}

/**
 * Seconds per round: short at first, so that blockers are visible soon; later longer, so that they add little history.
 */
const roundSeconds = [10, 20, 60, 120, 300] as const;

/**
 * Drains round by round until no pod is left.
 * @throws ApplicationFailure DrainBlocked on timeout, with each pod and its blocker.
 */
export async function drainInRounds({
  operation,
  drain,
  runRound,
  report,
  onChecked,
  version,
  onRoundStart,
}: DrainRoundsOptions): Promise<void> {
  const deadline = Date.now() + drain.timeoutSeconds * 1_000;
  if (onChecked !== undefined) {
    const { left } = await runRound(0);
    onChecked();
    if (left.length === 0) return;
  }
  for (let number = 0; ; number++) {
    const seconds = roundSeconds[Math.min(number, roundSeconds.length - 1)] ?? 300;
    const secondsLeft = Math.max(1, Math.ceil((deadline - Date.now()) / 1_000));
    const seenVersion = version();
    const scope = new CancellationScope();
    onRoundStart(() => scope.cancel());
    let result: DrainRound;
    try {
      result = await scope.run(() => runRound(Math.min(seconds, secondsLeft)));
    } catch (error) {
      // After a new decision only the next round counts, even when this one failed: its worker may have died before it
      // received the cancellation.
      if (version() === seenVersion) throw error;
      continue;
    }
    report(result.left.map(({ pod, reason, kind }) => ({ pod, reason, kind })));
    if (result.left.length === 0) return;
    if (Date.now() < deadline) continue;
    // Terminating pods keep the grace period that they were given, and need no action of an operator.
    const allTerminating = result.left.every(({ kind }) => kind === 'Terminating');
    if (!allTerminating) throw drainBlocked(operation, drain.timeoutSeconds, result.left);
  }
}

function drainBlocked(operation: string, seconds: number, left: readonly Blocker[]): ApplicationFailure {
  const lines = summarizeLines(left.map(blockerText), 20);
  const advice = 'make room, ease the budget, or send forcePod; then retry the node';
  return ApplicationFailure.nonRetryable(
    `${operation}: waited ${seconds} s for ${left.length} pods:\n${lines.join('\n')}\n${advice}`,
    'DrainBlocked'
  );
}
