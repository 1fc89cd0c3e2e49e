import ipaddr from 'ipaddr.js';

/** A network in use, with a description of its owner. */
export interface NamedNetwork {
  /** IPv4 CIDR or address. */
  cidr: string;
  owner: string;
}

/** A range of IPv4 addresses as numbers, both ends inclusive. */
export type Range = readonly [first: number, last: number];

/** True when the CIDR contains the address. False for addresses of another family, and for undefined. */
export function contains(cidr: string, address: string | undefined): boolean {
  const range = parseRange(cidr);
  const point = address === undefined ? undefined : parseRange(address);
  return range !== undefined && point !== undefined && range[0] <= point[0] && point[1] <= range[1];
}

/** Returns the networks that overlap with the CIDR. IPv6 networks never do. */
export function overlapping(cidr: string, networks: readonly NamedNetwork[]): NamedNetwork[] {
  const range = parseRange(cidr);
  if (range === undefined) return [];
  return networks.filter((network) => {
    const other = parseRange(network.cidr);
    return other !== undefined && range[0] <= other[1] && other[0] <= range[1];
  });
}

/** Returns the number of blocks of the given prefix length in the CIDR; 0 when a block is larger than the CIDR. */
export function blockCount(cidr: string, maskSize: number): number {
  const prefix = Number(cidr.split('/')[1]);
  return maskSize < prefix ? 0 : 2 ** (maskSize - prefix);
}

/** Parses an IPv4 CIDR or address as a range; undefined for anything else. */
export function parseRange(text: string): Range | undefined {
  const [address = '', prefix = '32'] = text.split('/');
  if (!ipaddr.IPv4.isValidFourPartDecimal(address) || !/^\d+$/.test(prefix) || Number(prefix) > 32) return undefined;
  const size = 2 ** (32 - Number(prefix));
  const number = ipaddr.IPv4.parse(address)
    .toByteArray()
    .reduce((sum, byte) => sum * 256 + byte, 0);
  const first = Math.floor(number / size) * size;
  return [first, first + size - 1];
}

/** Returns the smallest IPv4 CIDR that contains both; undefined when one of them is not an IPv4 CIDR. */
export function commonCidr(a: string, b: string): string | undefined {
  const [first, second] = [parseRange(a), parseRange(b)];
  if (first === undefined || second === undefined) return undefined;
  const [low, high] = [Math.min(first[0], second[0]), Math.max(first[1], second[1])];
  let prefix = 32;
  while (Math.floor(low / 2 ** (32 - prefix)) !== Math.floor(high / 2 ** (32 - prefix))) prefix -= 1;
  return formatCidr(low, prefix);
}

/** Returns the block of the same size that forms one larger CIDR together with this one; undefined for 0.0.0.0/0. */
export function neighbouringCidr(cidr: string): string | undefined {
  const range = parseRange(cidr);
  const prefix = Number(cidr.split('/')[1] ?? 32);
  if (range === undefined || prefix === 0) return undefined;
  const size = 2 ** (32 - prefix);
  const isUpperHalf = Math.floor(range[0] / size) % 2 === 1;
  return formatCidr(isUpperHalf ? range[0] - size : range[0] + size, prefix);
}

/** Formats the CIDR of a prefix length that contains the address, which is given as a number. */
function formatCidr(address: number, prefix: number): string {
  const size = 2 ** (32 - prefix);
  const first = Math.floor(address / size) * size;
  const bytes = [24, 16, 8, 0].map((shift) => Math.floor(first / 2 ** shift) % 256);
  return `${bytes.join('.')}/${prefix}`;
}
