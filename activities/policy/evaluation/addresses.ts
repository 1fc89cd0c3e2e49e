import { parseRange, type Range } from '../../../model/networks.ts';

const all: Range = [0, 2 ** 32 - 1];

/** Parsed CIDRs and addresses by their texts, of which a comparison repeats each many times; its thread ends with it. */
const ranges = new Map<string, Range | undefined>();

/** Returns true when a CIDR contains an address. */
export function contains(cidr: string, address: string): boolean {
  const [range, point] = [cachedRange(cidr), cachedRange(address)];
  return range !== undefined && point !== undefined && range[0] <= point[0] && point[1] <= range[1];
}

function cachedRange(text: string): Range | undefined {
  if (!ranges.has(text)) ranges.set(text, parseRange(text));
  return ranges.get(text);
}

/** Formats an address as text. */
export function addressText(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.');
}

/** Returns true when a CIDR contains the whole of another. */
export function covers(cidr: string, other: string): boolean {
  const [outer, inner] = [cachedRange(cidr), cachedRange(other)];
  return outer !== undefined && inner !== undefined && outer[0] <= inner[0] && inner[1] <= outer[1];
}

/** Returns true when two CIDRs share an address. */
export function overlap(cidr: string, other: string): boolean {
  const [a, b] = [cachedRange(cidr), cachedRange(other)];
  return a !== undefined && b !== undefined && a[0] <= b[1] && b[0] <= a[1];
}

/**
 * Returns one address of each part into which CIDRs divide a network, so that a result for the address holds for the
 * whole part. Parts that lie in the same set of these CIDRs count once.
 * @param within the network to divide; all addresses by default.
 */
export function representatives(cidrs: readonly string[], within?: string): string[] {
  const networkRange = within === undefined ? all : parseRange(within);
  if (networkRange === undefined) return [];
  const networks = sortedRanges(cidrs);
  const bounds = new Set([networkRange[0]]);
  for (const [first, last] of networks) {
    for (const bound of [first, last + 1]) if (bound > networkRange[0] && bound <= networkRange[1]) bounds.add(bound);
  }
  const starts = [...bounds].sort((a, b) => a - b);
  const seen = new Set<Range | undefined>();
  // The CIDRs that contain the part, each inside the one before it: two CIDRs never overlap in part. Therefore, the last
  // one determines which CIDRs contain a part.
  const enclosing: Range[] = [];
  let next = 0;
  return starts.flatMap((first, index) => {
    for (let range = networks[next]; range !== undefined && range[0] <= first; range = networks[++next]) {
      enclosing.push(range);
    }
    while (enclosing.length > 0 && (enclosing.at(-1)?.[1] ?? 0) < first) enclosing.pop();
    const innermost = enclosing.at(-1);
    if (seen.has(innermost)) return [];
    seen.add(innermost);
    // Avoids the network address when the part has another address.
    const end = starts[index + 1] ?? networkRange[1] + 1;
    return [addressText(end - first > 2 ? first + 1 : first)];
  });
}

/** Parses CIDRs, without duplicates, in the order of their first addresses; a CIDR precedes those inside it. */
function sortedRanges(cidrs: readonly string[]): Range[] {
  const parsed = new Map<string, Range>();
  for (const cidr of cidrs) {
    const range = parseRange(cidr);
    if (range !== undefined) parsed.set(range.join('-'), range);
  }
  return [...parsed.values()].sort(([first, last], [otherFirst, otherLast]) => first - otherFirst || otherLast - last);
}
