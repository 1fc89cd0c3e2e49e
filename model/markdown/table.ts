/** Text that may stand in a cell of a Markdown table: one line, without a separator of cells and without HTML. */
export function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll(/\s+/g, ' ');
}

/** A row of a Markdown table. Escapes its cells. */
export function tableRow(cells: readonly (string | number)[]): string {
  return `| ${cells.map((text) => cell(String(text))).join(' | ')} |`;
}

/** The header of a Markdown table: the row of titles, and the row below it. Escapes the titles. */
export function tableHeader(...titles: readonly string[]): string[] {
  return [tableRow(titles), tableRow(titles.map(() => '---'))];
}
