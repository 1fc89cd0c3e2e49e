import { oneLine, withoutControls } from '../printable.ts';

/** Characters that start or end emphasis, code, links, images, or cells of a table, wherever they are. */
const special = /[\\`*[~|]/g;

/** An underscore at the edge of a word: within a word it is text. */
const edgeUnderscore = /(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])/gu;

/** Place before what starts a heading, a quote, a list or a rule, at the start of a line. */
const blockStart = /^(?:(\d+)(?=[.)])|(?=[#>+=-]))/;

/** A character reference, which would be shown as the character. */
const reference = /&(?=#?\w+;)/g;

/**
 * Escapes text for a cell of a Markdown table, or for the middle of a line: one line that is shown as it is, without
 * emphasis, code, links, images, HTML and control characters. Texts may contain what a user of the cluster or a sender
 * of a message wrote. An address such as `https://…` stays: where it is shown as a link, it leads where it says.
 */
export function cell(text: string): string {
  return oneLine(text)
    .replaceAll(reference, '&amp;')
    .replaceAll(special, '\\$&')
    .replaceAll(edgeUnderscore, '\\_')
    .replaceAll('<', '&lt;');
}

/** Escapes text for a line or an item of a list, in addition as {@link cell} does: it starts no block of its own. */
export function line(text: string): string {
  return cell(text).replace(blockStart, '$1\\');
}

/** Formats text as inline code. */
export function code(text: string): string {
  const content = oneLine(text);
  const marks = '`'.repeat(longestRun(content) + 1);
  // A backtick at an edge would belong to the marks.
  const space = /^`|`$/.test(content) ? ' ' : '';
  return content === '' ? '' : `${marks}${space}${content}${space}${marks}`;
}

/**
 * Formats lines as a block of code, which no line of them can end.
 * @param language name after the opening fence. @default none
 */
export function codeBlock(lines: readonly string[], language = ''): string[] {
  const content = lines.map(withoutControls);
  const fence = '`'.repeat(Math.max(3, longestRun(content.join('\n')) + 1));
  return [`${fence}${language}`, ...content, fence];
}

function longestRun(text: string): number {
  return Math.max(0, ...(text.match(/`+/g) ?? []).map((run) => run.length));
}
