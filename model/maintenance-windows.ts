import { z } from 'zod';

/** Days of the week, as maintenance windows name them. */
export const weekdays = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;

/** Time of day, hours and minutes. */
export const clockTime = /^([01]\d|2[0-3]):[0-5]\d$/;

const minuteMs = 60_000;

const dayMinutes = 24 * 60;

/**
 * Length of the search: a window opens at least once a week, except in a week in which the clock change skips it. So the
 * search finds each window at least once, at its full length.
 */
const searchMinutes = 15 * dayMinutes;

/**
 * Minutes after the start of a window that count as its start: a step that needs the whole window, or more, never starts
 * in its first second.
 */
const startToleranceMinutes = 10;

/** Offsets of time zones are multiples of this, so the local time needs to be computed only once for as long. */
const blockMinutes = 15;

/** True for a time zone that this runtime knows. */
export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** Schema of a maintenance window, in which steps may start that disturb the cluster. */
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

/** Period in which steps may start that disturb the cluster. */
export type MaintenanceWindow = z.output<typeof windowSchema>;

/** Time at which a step may start. */
export interface WindowFit {
  /** Milliseconds until then; 0: it may start now. */
  waitMs: number;
  /**
   * True when a window is open now, and its rest is shorter than the step.
   * @default false
   */
  isRestTooShort?: true;
  /**
   * Length of the longest window in ms, when no window is long enough for the step. It may start at the start of such a
   * window then.
   */
  longestMs?: number;
}

/** Returns the milliseconds until a window is open: 0 inside a window, or without windows. */
export function msUntilOpen(windows: readonly MaintenanceWindow[], now: Date): number {
  return findFit(windows, 0, now).waitMs;
}

/**
 * Returns when a step may start: now, when it fits into the rest of a window that is open; otherwise at the start of the
 * next window that is long enough. If none is, at the start of one of the longest, so that no step waits indefinitely.
 * Windows without a gap between them count as one. Checks every minute in local time, so that the result is right on days
 * when clocks change.
 * @param durationMs expected duration of the step, in ms.
 */
export function findFit(windows: readonly MaintenanceWindow[], durationMs: number, now: Date): WindowFit {
  if (windows.length === 0) return { waitMs: 0 };
  const nowMs = now.getTime();
  const earliestMs = nowMs - startToleranceMinutes * minuteMs;
  const spans: Span[] = [];
  let isOpenNow = false;
  const describeWait = (waitMs: number): WindowFit => ({
    waitMs,
    ...(isOpenNow && waitMs > 0 && { isRestTooShort: true }),
  });
  for (const span of openSpans(windows, nowMs)) {
    isOpenNow ||= span.startMs <= nowMs;
    const fromMs = span.startMs > earliestMs ? span.startMs : nowMs;
    if (span.endMs - fromMs >= durationMs) return describeWait(Math.max(0, span.startMs - nowMs));
    spans.push(span);
  }
  // The clock change skips the only window, such as 02:10 to 02:50 in spring: search again later.
  if (spans.length === 0) return { waitMs: searchMinutes * minuteMs };
  const longestMs = Math.max(...spans.map(lengthMs));
  const next = spans.find((span) => lengthMs(span) === longestMs && span.startMs > earliestMs);
  const nextMs = next?.startMs ?? nowMs + searchMinutes * minuteMs;
  return { ...describeWait(Math.max(0, nextMs - nowMs)), longestMs };
}

/** Time in which windows are open without a gap (Unix ms). */
interface Span {
  startMs: number;
  endMs: number;
}

function lengthMs({ startMs, endMs }: Span): number {
  return endMs - startMs;
}

/**
 * Yields the times in which a window is open, from shortly before now on, so that a window that has just opened has its
 * start. One that is open at the end of the search, and was open at its start, has no end.
 */
function* openSpans(windows: readonly MaintenanceWindow[], nowMs: number): Generator<Span> {
  const isOpenAt = openAt(windows);
  const firstMinute = Math.floor(nowMs / minuteMs) - startToleranceMinutes;
  const lastMinute = firstMinute + searchMinutes;
  let start: number | undefined;
  for (let minute = firstMinute; minute < lastMinute; minute++) {
    const isOpen = isOpenAt(minute);
    if (isOpen) start ??= minute;
    if (isOpen || start === undefined) continue;
    if (minute * minuteMs > nowMs) yield { startMs: start * minuteMs, endMs: minute * minuteMs };
    start = undefined;
  }
  if (start === undefined) return;
  const isAlwaysOpen = start === firstMinute;
  yield { startMs: start * minuteMs, endMs: isAlwaysOpen ? Number.POSITIVE_INFINITY : lastMinute * minuteMs };
}

/** Returns a function that returns true for a minute (since 1970) in which one of the windows is open. */
function openAt(windows: readonly MaintenanceWindow[]): (minute: number) => boolean {
  const local = new Map<string, LocalTime>();
  const parsed = windows.map(({ days, start, end, timeZone }) => ({
    ...{ start: parseClock(start), end: parseClock(end), timeZone },
    days: weekdays.map((day) => days.includes(day)),
  }));
  let block = Number.NaN;
  return (minute) => {
    const minuteBlock = Math.floor(minute / blockMinutes);
    if (minuteBlock !== block) local.clear();
    block = minuteBlock;
    return parsed.some(({ timeZone, ...window }) => {
      const time = local.get(timeZone) ?? toLocalTime(new Date(minuteBlock * blockMinutes * minuteMs), timeZone);
      local.set(timeZone, time);
      return isOpen(window, time.day, time.minutes + (minute % blockMinutes));
    });
  };
}

/** Window with its days as flags, and its times in minutes since midnight. */
interface ParsedWindow {
  days: readonly boolean[];
  start: number;
  end: number;
}

function isOpen({ days, start, end }: ParsedWindow, day: number, minutes: number): boolean {
  const today = days[day] === true;
  if (start < end) return today && minutes >= start && minutes < end;
  // The window spans midnight, or a whole day when both times are equal: the morning belongs to the previous day.
  const yesterday = days[(day + 6) % 7] === true;
  return (today && minutes >= start) || (yesterday && minutes < end);
}

function parseClock(text: string): number {
  const [hours = 0, minutes = 0] = text.split(':').map(Number);
  return hours * 60 + minutes;
}

/** Day of the week, from 0 for Monday, and minutes since midnight. */
interface LocalTime {
  day: number;
  minutes: number;
}

const formatters = new Map<string, Intl.DateTimeFormat>();

function toLocalTime(moment: Date, timeZone: string): LocalTime {
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
  return { day, minutes: parseClock(`${parts.get('hour')}:${parts.get('minute')}`) };
}
