import { isObject, merge, type HelmValues, type Json } from './helm-values.ts';

/** Objects in a compact form: what most of them have in common is stored once. */
export interface SharedValues {
  shared: HelmValues;
  /** Values of each object that differ from `shared`, or that not all objects have. */
  own: HelmValues[];
}

/**
 * Splits objects into their most frequent values and what is left of each, so that many similar objects need the space
 * of one.
 */
export function splitShared(objects: readonly HelmValues[]): SharedValues {
  const shared: HelmValues = {};
  const own = objects.map((): HelmValues => ({}));
  const keys = new Set(objects.flatMap((object) => Object.keys(object)));
  for (const key of keys) {
    const split = splitKey(objects, key);
    if (split.shared !== undefined) shared[key] = split.shared;
    for (const [index, values] of own.entries()) {
      const value = split.own[index];
      if (value !== undefined) values[key] = value;
    }
  }
  return { shared, own };
}

/** Returns the objects that {@link splitShared} was called with. */
export function joinShared({ shared, own }: SharedValues): HelmValues[] {
  return own.map((values) => merge(shared, values));
}

function splitKey(
  objects: readonly HelmValues[],
  key: string
): { shared: Json | undefined; own: (Json | undefined)[] } {
  const values = objects.map((object) => object[key]);
  // A merge cannot remove a key, so a key that one object lacks is not shared.
  if (values.some((value) => value === undefined)) return { shared: undefined, own: values };
  const nested = values.filter(isObject);
  if (nested.length === values.length) {
    const split = splitShared(nested);
    return {
      shared: split.shared,
      own: split.own.map((value) => (Object.keys(value).length > 0 ? value : undefined)),
    };
  }
  const texts = values.map((value) => JSON.stringify(value));
  const index = indexOfMostFrequent(texts);
  const shared = values[index];
  // A merge would mix two objects instead of replacing one.
  if (shared === undefined || isObject(shared)) return { shared: undefined, own: values };
  return { shared, own: values.map((value, other) => (texts[other] === texts[index] ? undefined : value)) };
}

/** Returns the index of the text with the highest number of occurrences. */
function indexOfMostFrequent(texts: readonly string[]): number {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  const [text] = [...counts].reduce((best, entry) => (entry[1] > best[1] ? entry : best));
  return texts.indexOf(text);
}
