import { untilOpen, type MaintenanceWindow } from '../../model/maintenance-windows.ts';

/** The activity on maintenance windows. */
export function createWindowActivities() {
  return {
    /**
     * How long it is until one of the windows opens, in ms; 0 inside of one. An activity, because time zones' rules come
     * with the worker's runtime: what was answered stays the answer when a history is replayed by another one.
     */
    untilWindow: ({ windows }: { windows: readonly MaintenanceWindow[] }): Promise<{ waitMs: number }> =>
      Promise.resolve({ waitMs: untilOpen(windows, new Date()) }),
  };
}
