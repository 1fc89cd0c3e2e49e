/**
 * Lists the first items in one line, separated by commas, and the number of the others.
 * @param limit maximum number of listed items.
 * @default 10
 */
export function summarizeList(items: readonly string[], limit = 10): string {
  const more = items.length > limit ? ` and ${items.length - limit} more` : '';
  return `${items.slice(0, limit).join(', ')}${more}`;
}

/**
 * Returns the first lines, and one with the number of the others.
 * @param subject noun for the lines, in plural.
 * @default no subject
 */
export function summarizeLines(lines: readonly string[], limit: number, subject = ''): string[] {
  const more = lines.length - limit;
  return more > 0 ? [...lines.slice(0, limit), `and ${more} more${subject === '' ? '' : ` ${subject}`}`] : [...lines];
}
