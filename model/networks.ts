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
