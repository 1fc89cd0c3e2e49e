import { parseRange, type Range } from '../../../model/networks.ts';

const all: Range = [0, 2 ** 32 - 1];

/** Formats an address as text. */
export function addressText(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.');
}

/** Returns true when a CIDR contains the whole of another. */
export function covers(cidr: string, other: string): boolean {
  const [outer, inner] = [parseRange(cidr), parseRange(other)];
  return outer !== undefined && inner !== undefined && outer[0] <= inner[0] && inner[1] <= outer[1];
}

/** Returns true when two CIDRs share an address. */
export function overlap(one: string, other: string): boolean {
  const [a, b] = [parseRange(one), parseRange(other)];
  return a !== undefined && b !== undefined && a[0] <= b[1] && b[0] <= a[1];
}

/**
 * Returns one address of each part into which CIDRs divide a network, so that a result for the address holds for the
 * whole part. Parts that lie in the same set of these CIDRs count once.
 * @param within the network to divide; all addresses by default.
 */
export function representatives(cidrs: readonly string[], within?: string): string[] {
  const whole = within === undefined ? all : parseRange(within);
  if (whole === undefined) return [];
  const ranges = cidrs.flatMap((cidr) => {
    const range = parseRange(cidr);
    return range === undefined ? [] : [range];
  });
  const bounds = new Set([whole[0]]);
  for (const [first, last] of ranges) {
    for (const bound of [first, last + 1]) if (bound > whole[0] && bound <= whole[1]) bounds.add(bound);
  }
  const seen = new Set<string>();
  const found: string[] = [];
  for (const first of [...bounds].sort((a, b) => a - b)) {
    const signature = ranges.map(([from, to]) => (from <= first && first <= to ? '1' : '0')).join('');
    if (seen.has(signature)) continue;
    seen.add(signature);
    // Avoids the network address when the part has another address.
    const next = [...bounds].filter((bound) => bound > first).sort((a, b) => a - b)[0] ?? whole[1] + 1;
    found.push(addressText(next - first > 2 ? first + 1 : first));
  }
  return found;
}
