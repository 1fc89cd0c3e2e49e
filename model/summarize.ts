/**
 * Lists the first items in one line, separated by commas, and how many more there are.
 * @param limit how many items are listed at most. @default 10
 */
export function summarizeList(items: readonly string[], limit = 10): string {
  const more = items.length > limit ? ` and ${items.length - limit} more` : '';
  return `${items.slice(0, limit).join(', ')}${more}`;
}

/**
 * The first lines, and one that says how many more there are.
 * @param what what the lines are about, in plural. @default nothing is said about it
 */
export function summarizeLines(lines: readonly string[], limit: number, what = ''): string[] {
  const more = lines.length - limit;
  return more > 0 ? [...lines.slice(0, limit), `and ${more} more${what === '' ? '' : ` ${what}`}`] : [...lines];
}
