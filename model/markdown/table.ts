import { cell } from './escape.ts';

/** Formats a row of a Markdown table. Escapes its cells. */
export function tableRow(cells: readonly (string | number)[]): string {
  return formatRow(cells.map((text) => cell(String(text))));
}

/** Formats the header of a Markdown table: the row of titles, and the delimiter row. Escapes the titles. */
export function tableHeader(...titles: readonly string[]): string[] {
  return [tableRow(titles), formatRow(titles.map(() => '---'))];
}

function formatRow(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}
