import type { WorkflowHandle } from '@temporalio/client';

/** Name of the update that skips time in a workflow; `skipped-time.ts` handles it. */
export const skipTimeName = 'skipTime';

/** Factor by which activities are retried faster than the product requests. */
export const retrySpeedup = 500;

/** Result of one step of a skip. */
export interface Skipped {
  /** True when a timer has fired, which ends a step. */
  fired: boolean;
  /** Remaining time to skip. */
  leftMs: number;
}

/**
 * Skips time for a workflow on a server with `skipsTime`. Timers fire in order; the workflow reacts to each before the
 * next one fires.
 * @returns the number of timers that have fired.
 */
export async function skipTime(run: Pick<WorkflowHandle, 'executeUpdate'>, ms: number): Promise<number> {
  for (let [timers, restMs] = [0, ms]; ; timers++) {
    const { fired, leftMs } = await run.executeUpdate<Skipped, [number]>(skipTimeName, { args: [restMs] });
    if (!fired) return timers;
    restMs = leftMs;
  }
}
