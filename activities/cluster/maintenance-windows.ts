import { findFit, type MaintenanceWindow, type WindowFit } from '../../model/maintenance-windows.ts';

/** Input of the activity `untilFit`. */
interface Step {
  windows: readonly MaintenanceWindow[];
  /** Expected duration of the step, in ms. */
  durationMs: number;
}

/** Creates the activity on maintenance windows. */
export function createWindowActivities() {
  return {
    /**
     * Returns the time until a step may start, in ms: 0 when it fits into the rest of a window that is open. This is an
     * activity because time zone rules come with the worker's runtime: the recorded answer stays valid when another
     * runtime replays the history.
     */
    untilFit: ({ windows, durationMs }: Step): Promise<WindowFit> =>
      Promise.resolve(findFit(windows, durationMs, new Date())),
  };
}
