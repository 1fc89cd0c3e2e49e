/** The first few of a list, and how many more there are. */
export function few(items: readonly string[], most = 10): string {
  const more = items.length > most ? ` and ${items.length - most} more` : '';
  return `${items.slice(0, most).join(', ')}${more}`;
}
