import { Context } from '@temporalio/activity';
import { failure } from './failures.ts';
import { heartbeat } from './heartbeat.ts';
import type { FailureType } from '../../model/failure-types.ts';

/** Result of one poll: an answer, or a description of what is still awaited. */
export type PollResult<T> =
  | { done: T }
  | {
      waitingFor: string;
      /**
       * Delay before the next poll, in ms, for polls that are expensive.
       * @default `intervalMs` of {@link PollOptions}
       */
      nextPollMs?: number;
    };

/** End of a wait. */
type PollLimit =
  /** Maximum time to wait, in ms, from the start of this attempt of the activity. */
  | { timeoutMs: number }
  /** Time at which the wait ends (Unix, ms), the same for every attempt of the activity. */
  | { deadlineMs: number };

/** Options of {@link poll}. */
export type PollOptions = PollLimit & {
  /**
   * Interval between two polls, in ms.
   * @default 1000
   */
  intervalMs?: number;
  /** Type of the failure on timeout. */
  onTimeout: FailureType;
  /**
   * Remedy, appended to the failure's message.
   * @default none
   */
  advice?: string;
};

/**
 * Polls until there is an answer. Each poll is reported as a heartbeat: the Web UI shows what is awaited, and
 * cancellation arrives between two polls.
 * @throws ApplicationFailure of the type `onTimeout` on timeout; its message names what was awaited.
 */
export async function poll<T>(
  pollOnce: () => Promise<PollResult<T>>,
  { intervalMs = 1_000, onTimeout, advice, ...limit }: PollOptions
): Promise<T> {
  const context = Context.current();
  const endMs = 'deadlineMs' in limit ? limit.deadlineMs : Date.now() + limit.timeoutMs;
  for (;;) {
    const result = await pollOnce();
    if ('done' in result) return result.done;
    heartbeat({ waitingFor: result.waitingFor });
    if (Date.now() >= endMs) {
      const when =
        'deadlineMs' in limit ? `at ${new Date(endMs).toISOString()}` : `after ${Math.round(limit.timeoutMs / 1000)} s`;
      const message = `timed out ${when}, waiting for ${result.waitingFor}`;
      throw failure(onTimeout, advice === undefined ? message : `${message}; ${advice}`);
    }
    await context.sleep(result.nextPollMs ?? intervalMs);
  }
}
