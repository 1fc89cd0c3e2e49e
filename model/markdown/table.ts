import { withoutControls } from '../printable.ts';

/**
 * Escapes text for a cell of a Markdown table, or for any other line: one line, without cell separators, HTML, links,
 * images and control characters. Texts may contain what a user of the cluster wrote, such as the selector of a policy.
 */
export function cell(text: string): string {
  return withoutControls(text)
    .replaceAll('\\', '\\\\')
    .replaceAll('|', '\\|')
    .replaceAll('<', '&lt;')
    .replaceAll('](', ']\\(')
    .replaceAll(/\s+/g, ' ');
}

/** Formats a row of a Markdown table. Escapes its cells. */
export function tableRow(cells: readonly (string | number)[]): string {
  return `| ${cells.map((text) => cell(String(text))).join(' | ')} |`;
}

/** Formats the header of a Markdown table: the row of titles, and the delimiter row. Escapes the titles. */
export function tableHeader(...titles: readonly string[]): string[] {
  return [tableRow(titles), tableRow(titles.map(() => '---'))];
}
