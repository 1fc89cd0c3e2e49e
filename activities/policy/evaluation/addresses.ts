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
export function overlap(cidr: string, other: string): boolean {
  const [a, b] = [parseRange(cidr), parseRange(other)];
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
  const ranges = cidrs.flatMap((cidr) => {
    const range = parseRange(cidr);
    return range === undefined ? [] : [range];
  });
  const bounds = new Set([networkRange[0]]);
  for (const [first, last] of ranges) {
    for (const bound of [first, last + 1]) if (bound > networkRange[0] && bound <= networkRange[1]) bounds.add(bound);
  }
  const signatures = new Set<string>();
  const addresses: string[] = [];
  for (const first of [...bounds].sort((a, b) => a - b)) {
    const signature = ranges.map(([from, to]) => (from <= first && first <= to ? '1' : '0')).join('');
    if (signatures.has(signature)) continue;
    signatures.add(signature);
    // Avoids the network address when the part has another address.
    const next = [...bounds].filter((bound) => bound > first).sort((a, b) => a - b)[0] ?? networkRange[1] + 1;
    addresses.push(addressText(next - first > 2 ? first + 1 : first));
  }
  return addresses;
}
