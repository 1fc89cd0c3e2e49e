import { findFit, isTimeZone, msUntilOpen, weekdays, type MaintenanceWindow } from '../../model/maintenance-windows.ts';

const minutes = (count: number): number => count * 60_000;
const window = (more: Partial<MaintenanceWindow>): MaintenanceWindow => ({
  days: [...weekdays],
  start: '22:00',
  end: '05:00',
  timeZone: 'UTC',
  ...more,
});

// 2026-01-01 is a Thursday; in Berlin clocks go forward on 2026-03-29 at 02:00 and back on 2026-10-25 at 03:00.
it.each<[string, Partial<MaintenanceWindow>, string, number]>([
  ['inside', {}, '2026-01-01T23:10:00Z', 0],
  ['inside, after midnight', {}, '2026-01-01T04:59:59Z', 0],
  ['at its end', {}, '2026-01-01T05:00:00Z', minutes(17 * 60)],
  ['just before', {}, '2026-01-01T21:59:30Z', minutes(0.5)],
  ['another day', { days: ['fri'] }, '2026-01-01T23:00:00Z', minutes(23 * 60)],
  ['the morning after its day', { days: ['thu'] }, '2026-01-02T04:00:00Z', 0],
  ['the morning of its day', { days: ['thu'] }, '2026-01-01T04:00:00Z', minutes(18 * 60)],
  ['the whole day', { start: '00:00', end: '00:00', days: ['thu'] }, '2026-01-01T12:00:00Z', 0],
  ['within one day', { start: '09:00', end: '17:00' }, '2026-01-01T17:00:00Z', minutes(16 * 60)],
  ['local time', { timeZone: 'Europe/Berlin' }, '2026-01-01T21:00:00Z', 0],
  ['local time in summer', { timeZone: 'Europe/Berlin' }, '2026-07-01T20:00:00Z', 0],
  [
    'a night that an hour is missing from',
    { timeZone: 'Europe/Berlin', start: '04:00', end: '05:00' },
    '2026-03-29T00:30:00Z',
    minutes(90),
  ],
  [
    'a night that an hour is added to',
    { timeZone: 'Europe/Berlin', start: '04:00', end: '05:00' },
    '2026-10-25T00:30:00Z',
    minutes(150),
  ],
])('knows how long it is until a window opens: %s', (_, more, now, expected) => {
  expect(msUntilOpen([window(more)], new Date(now))).toBe(expected);
});

it('uses the first of several windows, and accepts none', () => {
  const windows = [window({ start: '12:00', end: '13:00' }), window({ start: '10:00', end: '11:00' })];
  expect(msUntilOpen(windows, new Date('2026-01-01T09:00:00Z'))).toBe(minutes(60));
  expect(msUntilOpen([], new Date())).toBe(0);
});

it('finds a window after a week that skips its only one', () => {
  const skipped = window({ days: ['sun'], start: '02:10', end: '02:50', timeZone: 'Europe/Berlin' });
  const wait = msUntilOpen([skipped], new Date('2026-03-27T00:00:00Z'));
  expect(wait).toBeGreaterThan(minutes(7 * 24 * 60));
  expect(wait).toBeLessThanOrEqual(minutes(10 * 24 * 60));
});

describe('a step fits', () => {
  const night = window({});
  const saturday = window({ days: ['sat'], start: '20:00', end: '08:00' });
  const hour = minutes(60);

  // 2026-01-01 is a Thursday.
  it.each<[string, MaintenanceWindow[], number, string, object]>([
    ['into the rest of the window', [night], 6 * hour, '2026-01-01T23:00:00Z', { waitMs: 0 }],
    ['into exactly the rest', [night], 5 * hour, '2026-01-02T00:00:00Z', { waitMs: 0 }],
    ['without windows', [], 100 * hour, '2026-01-01T12:00:00Z', { waitMs: 0 }],
    ['into the next window', [night], 7 * hour, '2026-01-01T12:00:00Z', { waitMs: 10 * hour }],
    [
      'only into the next window, because the rest of this one is too short',
      [night],
      6 * hour,
      '2026-01-01T23:30:00Z',
      { waitMs: 22.5 * hour, isRestTooShort: true },
    ],
    [
      'only into a longer window of another day',
      [night, saturday],
      10 * hour,
      '2026-01-01T23:00:00Z',
      { waitMs: 45 * hour, isRestTooShort: true },
    ],
    [
      'into a window in its first minutes, when it needs all of it',
      [night],
      7 * hour,
      '2026-01-01T22:09:00Z',
      { waitMs: 0 },
    ],
    [
      'into windows that follow each other',
      [night, window({ start: '05:00', end: '08:00' })],
      10 * hour,
      '2026-01-01T22:00:00Z',
      { waitMs: 0 },
    ],
    [
      'at any time when a window is always open',
      [window({ start: '00:00', end: '00:00' })],
      1_000 * hour,
      '2026-01-01T12:00:00Z',
      { waitMs: 0 },
    ],
    [
      'into the night with an hour more, when clocks go back',
      [window({ timeZone: 'Europe/Berlin', start: '01:00', end: '04:00', days: ['sun'] })],
      4 * hour,
      '2026-10-20T00:00:00Z',
      { waitMs: (5 * 24 - 1) * hour },
    ],
  ])('%s', (_, windows, durationMs, now, expected) => {
    expect(findFit(windows, durationMs, new Date(now))).toEqual(expected);
  });

  it.each<[string, string, object]>([
    ['waits for the start of the longest', '2026-01-01T22:30:00Z', { waitMs: 45.5 * hour, isRestTooShort: true }],
    ['starts at its start', '2026-01-03T20:00:00Z', { waitMs: 0 }],
    ['starts in its first minutes', '2026-01-03T20:09:30Z', { waitMs: 0 }],
    ['does not start later', '2026-01-03T20:10:00Z', { waitMs: 7 * 24 * hour - minutes(10), isRestTooShort: true }],
  ])('into no window, and then %s', (_, now, expected) => {
    expect(findFit([night, saturday], 13 * hour, new Date(now))).toEqual({ ...expected, longestMs: 12 * hour });
  });
});

it.each([
  ['Europe/Berlin', true],
  ['UTC', true],
  ['Mars/Olympus', false],
  ['', false],
])('knows the time zone %j: %s', (name, expected) => {
  expect(isTimeZone(name)).toBe(expected);
});
