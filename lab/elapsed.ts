/** Returns the time since a moment (in ms, as of Date.now()) as m:ss, aligned in columns. */
export function clock(since: number): string {
  return formatClock(Date.now() - since);
}

/** Formats a duration in ms as m:ss, aligned in columns. */
export function formatClock(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return `${String(Math.floor(seconds / 60)).padStart(3)}:${String(seconds % 60).padStart(2, '0')}`;
}
