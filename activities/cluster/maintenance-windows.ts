import { msUntilOpen, type MaintenanceWindow } from '../../model/maintenance-windows.ts';

/** Creates the activity on maintenance windows. */
export function createWindowActivities() {
  return {
    /**
     * Returns the time until one of the windows opens, in ms; 0 inside a window. This is an activity because time zone
     * rules come with the worker's runtime: the recorded answer stays valid when another runtime replays the history.
     */
    untilWindow: ({ windows }: { windows: readonly MaintenanceWindow[] }): Promise<{ waitMs: number }> =>
      Promise.resolve({ waitMs: msUntilOpen(windows, new Date()) }),
  };
}
