/** JSON in which each repeated text, object and list of property names is stored once. */
export interface CompactJson {
  /** Parts that the value refers to, each by its position. A part refers only to parts before it. */
  parts: Encoded[];
  /** Names of the properties of objects; an object starts with the position of its names, from 1. */
  shapes: Encoded[][];
  value: Encoded;
}

/**
 * An encoded value. Numbers, booleans and null stay. A text that starts with one of the markers is a reference, a time or
 * an escaped text. A list is `[0, ...items]`, and an object `[shape, ...values]`.
 */
type Encoded = null | boolean | number | string | Encoded[];

/** First characters of encoded texts: a reference to a part, a time, and a text that starts with a marker. */
const markers = { part: '$', time: '@', escaped: "'" } as const;

/** Base of the numbers in encoded texts. */
const base = 36;

/** Length in characters from which a repeated text is stored once: a shorter one is hardly longer than a reference. */
const minTextLength = 6;

/** Length of the identity up to which objects and lists are compared, in characters. */
const maxPartLength = 2_000;

/**
 * Encodes a JSON value. The state of a large cluster's migration repeats itself: names of nodes, property names, and the
 * same decision about many nodes.
 */
export function compactJson(value: unknown): CompactJson {
  return new Encoder().encodeRoot(value);
}

/** Returns the value. No two parts of it are the same object. */
export function expandJson({ parts, shapes, value }: CompactJson): unknown {
  const names = shapes.map((shape) => shape.map((name) => String(decode(name))));
  function decode(encoded: Encoded): unknown {
    if (typeof encoded === 'string') return decodeText(encoded);
    if (!Array.isArray(encoded)) return encoded;
    const [shape, ...items] = encoded;
    if (shape === 0) return items.map(decode);
    const keys = names[Number(shape) - 1] ?? [];
    return Object.fromEntries(keys.map((key, index) => [key, decode(items[index] ?? null)]));
  }
  function decodeText(text: string): unknown {
    const rest = text.slice(1);
    if (text.startsWith(markers.part)) return decode(parts[parseInt(rest, base)] ?? null);
    if (text.startsWith(markers.time)) return new Date(parseInt(rest, base)).toISOString();
    return text.startsWith(markers.escaped) ? rest : text;
  }
  return decode(value);
}

/** Encodes one value: finds what is repeated, and then encodes each repeated part once. */
class Encoder {
  /** Text that identifies the content of each object and list, unless it is too long to be compared. */
  private readonly identities = new Map<object, string | undefined>();
  private readonly times = new Map<string, string | undefined>();
  private readonly counts = new Map<string, number>();
  private readonly positions = new Map<string, number>();
  private readonly shapePositions = new Map<string, number>();
  private readonly parts: Encoded[] = [];
  private readonly shapes: Encoded[][] = [];

  encodeRoot(root: unknown): CompactJson {
    this.identify(root);
    this.count(root);
    const value = this.encode(root);
    return { parts: this.parts, shapes: this.shapes, value };
  }

  /** Returns the text that identifies a value; undefined when it is too long. */
  private identify(value: unknown): string | undefined {
    // With its length, a text cannot be confused with what follows it.
    if (typeof value === 'string') return `"${value.length}:${value}`;
    if (!isContainer(value)) return JSON.stringify(value ?? null);
    const items = entriesOf(value).map(([key, item]) => {
      const identity = this.identify(item);
      return identity === undefined ? undefined : `${key.length}:${key}=${identity}`;
    });
    const length = items.reduce((sum, item) => sum + (item?.length ?? maxPartLength), 0);
    const kind = Array.isArray(value) ? 'list' : 'object';
    const identity = length < maxPartLength ? `${kind}{${items.join()}}` : undefined;
    this.identities.set(value, identity);
    return identity;
  }

  /** Counts texts and objects. What is inside a repeated object counts once, because it is encoded once. */
  private count(value: unknown): void {
    const key = this.keyOf(value);
    if (key !== undefined && this.add(key) > 1) return;
    if (!isContainer(value)) return;
    const entries = entriesOf(value);
    if (!Array.isArray(value) && this.add(shapeKey(entries)) === 1) for (const [name] of entries) this.count(name);
    for (const [, item] of entries) this.count(item);
  }

  private add(key: string): number {
    const count = (this.counts.get(key) ?? 0) + 1;
    this.counts.set(key, count);
    return count;
  }

  /** Returns the identity of a value that may be stored once; undefined for one that is too short or too long. */
  private keyOf(value: unknown): string | undefined {
    if (isContainer(value)) return this.identities.get(value);
    if (typeof value !== 'string' || value.length < minTextLength) return undefined;
    return this.timeOf(value) === undefined ? `"${value}` : undefined;
  }

  private timeOf(text: string): string | undefined {
    if (text.length !== isoLength) return undefined;
    if (!this.times.has(text)) this.times.set(text, encodeTime(text));
    return this.times.get(text);
  }

  private encode(value: unknown): Encoded {
    const key = this.keyOf(value);
    if (key === undefined || (this.counts.get(key) ?? 0) < 2) return this.encodeHere(value);
    let position = this.positions.get(key);
    if (position === undefined) {
      const part = this.encodeHere(value);
      position = this.parts.push(part) - 1;
      this.positions.set(key, position);
    }
    return markers.part + position.toString(base);
  }

  private encodeHere(value: unknown): Encoded {
    if (typeof value === 'string') return this.timeOf(value) ?? escapeText(value);
    if (!isContainer(value)) return typeof value === 'number' || typeof value === 'boolean' ? value : null;
    const entries = entriesOf(value);
    const shape = Array.isArray(value) ? 0 : this.encodeShape(entries);
    return [shape, ...entries.map(([, item]) => this.encode(item))];
  }

  private encodeShape(entries: readonly (readonly [string, unknown])[]): number {
    const key = shapeKey(entries);
    const known = this.shapePositions.get(key);
    if (known !== undefined) return known;
    const position = this.shapes.push(entries.map(([name]) => this.encode(name)));
    this.shapePositions.set(key, position);
    return position;
  }
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/** Returns the properties as JSON has them: without those that are undefined. */
function entriesOf(value: object): (readonly [string, unknown])[] {
  if (Array.isArray(value)) return value.map((item: unknown) => ['', item] as const);
  return Object.entries(value).filter(([, item]) => item !== undefined);
}

function shapeKey(entries: readonly (readonly [string, unknown])[]): string {
  return `shape${JSON.stringify(entries.map(([name]) => name))}`;
}

/** Encodes a time as JavaScript writes it (ISO 8601, UTC, ms); undefined for any other text. */
function encodeTime(text: string): string | undefined {
  if (!text.endsWith('Z')) return undefined;
  const ms = Date.parse(text);
  if (!(ms >= 0) || new Date(ms).toISOString() !== text) return undefined;
  return markers.time + ms.toString(base);
}

const isoLength = '2026-01-01T00:00:00.000Z'.length;

function escapeText(text: string): string {
  const hasMarker = Object.values(markers).some((marker) => text.startsWith(marker));
  return hasMarker ? markers.escaped + text : text;
}
