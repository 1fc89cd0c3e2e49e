import ipaddr from 'ipaddr.js';

/** An IPv4 range of addresses as numbers, both ends in it. */
export type Range = readonly [first: number, last: number];

const all: Range = [0, 2 ** 32 - 1];

/** An IPv4 CIDR or address as a range; undefined for anything else. */
export function rangeOf(text: string): Range | undefined {
  const [address = '', prefix = '32'] = text.split('/');
  if (!ipaddr.IPv4.isValidFourPartDecimal(address) || !/^\d+$/.test(prefix) || Number(prefix) > 32) return undefined;
  const size = 2 ** (32 - Number(prefix));
  const first = Math.floor(numberOf(address) / size) * size;
  return [first, first + size - 1];
}

function numberOf(address: string): number {
  return ipaddr.IPv4.parse(address)
    .toByteArray()
    .reduce((sum, byte) => sum * 256 + byte, 0);
}

/** An address as text. */
export function addressText(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.');
}

/** Whether an address lies in a CIDR. */
export function inCidr(cidr: string, address: string): boolean {
  const range = rangeOf(cidr);
  const point = rangeOf(address);
  return range !== undefined && point !== undefined && range[0] <= point[0] && point[0] <= range[1];
}

/** Whether a CIDR holds the whole of another. */
export function covers(cidr: string, other: string): boolean {
  const [outer, inner] = [rangeOf(cidr), rangeOf(other)];
  return outer !== undefined && inner !== undefined && outer[0] <= inner[0] && inner[1] <= outer[1];
}

/** Whether two CIDRs share an address. */
export function overlap(one: string, other: string): boolean {
  const [a, b] = [rangeOf(one), rangeOf(other)];
  return a !== undefined && b !== undefined && a[0] <= b[1] && b[0] <= a[1];
}

/**
 * One address of each part that CIDRs divide a network into, so that what holds for it holds for the whole part. Parts that
 * lie in the same of these CIDRs count once.
 * @param within the network to divide. @default all addresses
 */
export function representatives(cidrs: readonly string[], within?: string): string[] {
  const whole = within === undefined ? all : rangeOf(within);
  if (whole === undefined) return [];
  const ranges = cidrs.flatMap((cidr) => {
    const range = rangeOf(cidr);
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
    // Not the network's own address, where there is another.
    const next = [...bounds].filter((bound) => bound > first).sort((a, b) => a - b)[0] ?? whole[1] + 1;
    found.push(addressText(next - first > 2 ? first + 1 : first));
  }
  return found;
}
