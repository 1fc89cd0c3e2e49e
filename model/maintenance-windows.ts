import { z } from 'zod';

/** Days of the week, as maintenance windows name them. */
export const weekdays = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;

/** Time of day, hours and minutes. */
export const clockTime = /^([01]\d|2[0-3]):[0-5]\d$/;

const minuteMs = 60_000;

/** Length of the search: a window opens at least once a week, and clocks change by an hour. */
const searchMinutes = 8 * 24 * 60;

/** True for a time zone that this runtime knows. */
export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** Schema of a maintenance window, in which waves may start. */
export const windowSchema = z.strictObject({
  /**
   * Days on which the window starts.
   * @default every day
   */
  days: z
    .array(z.enum(weekdays))
    .min(1)
    .default([...weekdays]),
  /** Local start time, such as `22:00`. */
  start: z.string().regex(clockTime, 'must be a time such as 22:00'),
  /** Local end time. A time before `start` is on the next day. */
  end: z.string().regex(clockTime, 'must be a time such as 05:30'),
  /**
   * IANA time zone, such as `Europe/Berlin`.
   * @default UTC
   */
  timeZone: z.string().refine(isTimeZone, 'must be a time zone such as Europe/Berlin').default('UTC'),
});

/** Period in which waves may start. */
export type MaintenanceWindow = z.output<typeof windowSchema>;

/**
 * Returns the milliseconds until a window is open: 0 inside a window, or without windows. Checks every minute in local
 * time, so that the result is right on days when clocks change.
 */
export function msUntilOpen(windows: readonly MaintenanceWindow[], now: Date): number {
  if (windows.length === 0 || windows.some((window) => isOpen(window, now))) return 0;
  const nextMinute = Math.floor(now.getTime() / minuteMs + 1) * minuteMs;
  for (let minutes = 0; minutes <= searchMinutes; minutes++) {
    const moment = new Date(nextMinute + minutes * minuteMs);
    if (windows.some((window) => isOpen(window, moment))) return moment.getTime() - now.getTime();
  }
  // The clock change skips the only window of this week, such as 02:10 to 02:50 in spring: search again later.
  return searchMinutes * minuteMs;
}

function isOpen({ days, start, end, timeZone }: MaintenanceWindow, moment: Date): boolean {
  const { day, time } = toLocalTime(moment, timeZone);
  const today = days.some((name) => name === weekdays[day]);
  if (start < end) return today && time >= start && time < end;
  // The window spans midnight, or a whole day when both times are equal: the morning belongs to the previous day.
  const yesterday = days.some((name) => name === weekdays[(day + 6) % 7]);
  return (today && time >= start) || (yesterday && time < end);
}

const formatters = new Map<string, Intl.DateTimeFormat>();

function toLocalTime(moment: Date, timeZone: string): { day: number; time: string } {
  let formatter = formatters.get(timeZone);
  if (formatter === undefined) {
    formatter = new Intl.DateTimeFormat('en-GB', {
      timeZone,
      weekday: 'short',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    });
    formatters.set(timeZone, formatter);
  }
  const parts = new Map(formatter.formatToParts(moment).map(({ type, value }) => [type, value]));
  const day = weekdays.findIndex((name) => name === parts.get('weekday')?.toLowerCase());
  return { day, time: `${parts.get('hour')}:${parts.get('minute')}` };
}
