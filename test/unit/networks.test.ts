import { blockCount, commonCidr, contains, neighbouringCidr, overlapping } from '../../model/networks.ts';

describe('contains', () => {
  it.each([
    ['10.245.0.0/16', '10.245.3.9', true],
    ['10.245.0.0/16', '10.245.255.255', true],
    ['10.245.0.0/16', '10.246.0.0', false],
    ['10.245.0.0/16', '10.244.255.255', false],
    ['10.245.7.0/16', '10.245.0.1', true],
    ['0.0.0.0/0', '192.0.2.1', true],
    ['192.0.2.7/32', '192.0.2.7', true],
    ['192.0.2.7/32', '192.0.2.8', false],
    ['10.245.0.0/16', undefined, false],
    ['10.245.0.0/16', '', false],
    ['10.245.0.0/16', 'fd00::1', false],
    ['10.245.0.0/16', '10.245', false],
  ])('%s contains %s: %s', (cidr, address, expected) => {
    expect(contains(cidr, address)).toBe(expected);
  });
});

describe('overlapping', () => {
  it.each([
    ['the same', '10.245.0.0/16', '10.245.0.0/16', true],
    ['one inside the other', '10.0.0.0/8', '10.96.0.0/16', true],
    ['the other way round', '10.96.0.0/24', '10.96.0.0/16', true],
    ['neighbours', '10.245.0.0/16', '10.246.0.0/16', false],
    ['a single address', '10.99.0.0/16', '10.99.0.11', true],
    ['another family', '10.245.0.0/16', 'fd00::/8', false],
  ])('%s', (_, cidr, other, expected) => {
    expect(overlapping(cidr, [{ cidr: other, owner: 'x' }])).toHaveLength(expected ? 1 : 0);
  });
});

it.each([
  ['10.245.0.0/16', 24, 256],
  ['10.245.0.0/24', 24, 1],
  ['10.245.0.0/25', 24, 0],
])('%s holds blocks of /%s: %s', (cidr, maskSize, expected) => {
  expect(blockCount(cidr, maskSize)).toBe(expected);
});

it.each([
  ['10.244.0.0/16', '10.245.0.0/16', '10.244.0.0/15'],
  ['10.42.0.0/16', '10.245.0.0/16', '10.0.0.0/8'],
  ['10.0.0.0/8', '10.245.0.0/16', '10.0.0.0/8'],
  ['10.0.0.0/16', '192.168.0.0/16', '0.0.0.0/0'],
  ['192.168.0.0/24', '192.168.1.0/24', '192.168.0.0/23'],
  ['10.244.0.0/16', 'fd00::/48', undefined],
])('the smallest CIDR of %s and %s is %s', (a, b, expected) => {
  expect(commonCidr(a, b)).toBe(expected);
});

it.each([
  ['10.244.0.0/16', '10.245.0.0/16'],
  ['10.245.0.0/16', '10.244.0.0/16'],
  ['255.0.0.0/8', '254.0.0.0/8'],
  ['0.0.0.0/0', undefined],
  ['fd00::/48', undefined],
])('next to %s is %s', (cidr, expected) => {
  expect(neighbouringCidr(cidr)).toBe(expected);
});
