import type { WorkflowHandle } from '@temporalio/client';

/** The update by which time is skipped in a workflow; `skipped-time.ts` handles it. */
export const skipTimeName = 'skipTime';

/** Activities are retried so many times faster than the product asks for. */
export const retriesFaster = 500;

/** What came of one step of a skip. */
export interface Skipped {
  /** Whether a timer has fired, which ends a step. */
  fired: boolean;
  /** What is left to skip. */
  leftMs: number;
}

/**
 * Lets time pass for a workflow on a server with `skipsTime`. Timers fire in order; the workflow reacts to each before the
 * next one fires.
 * @returns how many timers have fired.
 */
export async function skipTime(run: Pick<WorkflowHandle, 'executeUpdate'>, ms: number): Promise<number> {
  for (let [timers, restMs] = [0, ms]; ; timers++) {
    const { fired, leftMs } = await run.executeUpdate<Skipped, [number]>(skipTimeName, { args: [restMs] });
    if (!fired) return timers;
    restMs = leftMs;
  }
}
