/**
 * Characters with which a text could change what a terminal or a page shows around it: control characters except line
 * ends and tabs, other line ends, characters without a width or that change the direction of text, and halves of
 * characters. Joiners stay: words of some languages need them.
 */
const controls = /(?![\n\t\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu;

/** The characters of {@link controls}, and those that JSON leaves unescaped between its tokens. */
const controlsInJson = /(?![\n\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu;

/** Replaces control characters, with which a text could change what a terminal or a page shows around it. */
export function withoutControls(text: string): string {
  return text.replaceAll(controls, '\ufffd');
}

/** Returns a text as one line without control characters. */
export function oneLine(text: string): string {
  return withoutControls(text.replaceAll(/\s+/g, ' ')).trim();
}

/**
 * Returns a copy of data in which every text, also in names of fields, is one line without control characters. A text of
 * a sender or of a cluster can then not pass for a line of the program that shows it.
 */
export function withPrintableTexts<T>(value: T): T {
  return makePrintable(value) as T;
}

function makePrintable(value: unknown): unknown {
  if (typeof value === 'string') return oneLine(value);
  if (Array.isArray(value)) return value.map(makePrintable);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [oneLine(key), makePrintable(child)]));
}

/**
 * Formats data as JSON that is safe to print. It escapes control characters instead of replacing them, so that a program
 * reads the same data.
 * @param indent number of spaces. @default one line
 */
export function printableJson(value: unknown, indent = 0): string {
  return escapeJson(JSON.stringify(value ?? null, null, indent));
}

/** Escapes the control characters of JSON. */
export function escapeJson(json: string): string {
  return json.replaceAll(controlsInJson, (character) =>
    Array.from({ length: character.length }, (_, index) => unicodeEscape(character.charCodeAt(index))).join('')
  );
}

function unicodeEscape(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`;
}
