import { Context } from '@temporalio/activity';
import { failure } from './failures.ts';
import { heartbeat } from './heartbeat.ts';
import type { FailureType } from '../../model/failure-types.ts';

/** What one look gave: an answer, or what is still waited for. */
export type Look<T> =
  | { done: T }
  | {
      waitingFor: string;
      /** Time until the next look, in ms, where one costs much. @default that of {@link PollOptions} */
      againMs?: number;
    };

/** Options of {@link poll}. */
export interface PollOptions {
  /** How long to wait at most, in ms. */
  timeoutMs: number;
  /** Time between two looks, in ms. @default 1000 */
  everyMs?: number;
  /** Type of the failure when the time is over. */
  onTimeout: FailureType;
  /** What to do about it, appended to the failure's message. @default nothing */
  advice?: string;
}

/**
 * Looks again and again until there is an answer. Each look is reported as a heartbeat, so that the Web UI shows what is
 * waited for, and cancellation arrives between two looks.
 * @throws ApplicationFailure of the given type when the time is over, saying what was waited for.
 */
export async function poll<T>(
  look: () => Promise<Look<T>>,
  { timeoutMs, everyMs = 1_000, onTimeout, advice }: PollOptions
): Promise<T> {
  const context = Context.current();
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const seen = await look();
    if ('done' in seen) return seen.done;
    heartbeat({ waitingFor: seen.waitingFor });
    if (Date.now() >= deadline) {
      const waited = `waited ${Math.round(timeoutMs / 1000)} s for ${seen.waitingFor}`;
      throw failure(onTimeout, advice === undefined ? waited : `${waited}; ${advice}`);
    }
    await context.sleep(seen.againMs ?? everyMs);
  }
}
