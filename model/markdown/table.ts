/** Escapes text for a cell of a Markdown table: one line, without cell separators and HTML. */
export function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll(/\s+/g, ' ');
}

/** Formats a row of a Markdown table. Escapes its cells. */
export function tableRow(cells: readonly (string | number)[]): string {
  return `| ${cells.map((text) => cell(String(text))).join(' | ')} |`;
}

/** Formats the header of a Markdown table: the row of titles, and the delimiter row. Escapes the titles. */
export function tableHeader(...titles: readonly string[]): string[] {
  return [tableRow(titles), tableRow(titles.map(() => '---'))];
}
