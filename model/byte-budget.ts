/**
 * Sizes of JSON in bytes. Temporal accepts at most 2 MiB for the input of a run, for its result, and for the answer to a
 * query. It terminates a run that exceeds the limit.
 */

/** Returns the number of bytes of a text in UTF-8. Workflow code has no Node.js module for it. */
export function utf8Bytes(text: string): number {
  let bytes = text.length;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    // A character outside the basic plane has two code units and four bytes.
    if (code >= 0x800 && (code < 0xd800 || code > 0xdfff)) bytes += 2;
    else if (code >= 0x80) bytes += 1;
  }
  return bytes;
}

/** Returns the number of bytes of a value as JSON; 0 for undefined. */
export function jsonBytes(value: unknown): number {
  return value === undefined ? 0 : utf8Bytes(JSON.stringify(value));
}

/** Limits of a list. */
export interface ListLimits {
  maxItems: number;
  maxBytes: number;
}

/**
 * Returns the first items that fit into the limits. When the first item alone exceeds the bytes, it is returned
 * nevertheless, so that a reader of pages makes progress.
 */
export function takeWithin<Item>(items: readonly Item[], { maxItems, maxBytes }: ListLimits): Item[] {
  let bytes = 0;
  const end = items.slice(0, maxItems).findIndex((item, index) => {
    bytes += jsonBytes(item) + 1;
    return index > 0 && bytes > maxBytes;
  });
  return items.slice(0, end === -1 ? maxItems : end);
}
