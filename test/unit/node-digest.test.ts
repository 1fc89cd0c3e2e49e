import { computeBucket, differingBuckets, computeDigest } from '../../model/node-digest.ts';
import { groupNodes, expandGroups, type NodeFacts } from '../../model/nodes.ts';

const node = (name: string, more: Partial<NodeFacts> = {}): NodeFacts => ({
  ...{ name, controlPlane: false, ready: true, hostsWorker: false, flipped: false, cordonedByUs: false },
  podsOnSource: 0,
  ...more,
});
const many = Array.from({ length: 1_000 }, (_, index) => node(`node-${index}`));
const known = computeDigest(many);

it('has the same length for any number of nodes, and does not depend on their order', () => {
  expect(computeDigest([])).toHaveLength(known.length);
  expect(computeDigest([...many].reverse())).toBe(known);
  expect(differingBuckets(known, known)).toEqual([]);
});

it.each([
  ['is not Ready', { ready: false }],
  ['is flipped', { flipped: true }],
  ['is cordoned by us', { cordonedByUs: true }],
  ['hosts the worker', { hostsWorker: true }],
  ['is flipped with pods on the source network', { flipped: true, podsOnSource: 2 }],
])('changes the bucket of a node that %s', (_, more) => {
  const now = many.map((each) => (each.name === 'node-77' ? { ...each, ...more } : each));
  expect(differingBuckets(known, computeDigest(now))).toEqual([computeBucket('node-77')]);
});

it('changes the buckets of nodes that join and leave', () => {
  const now = [...many.slice(1), node('new')];
  const parts = [computeBucket('node-0'), computeBucket('new')].sort((a, b) => a - b);
  expect(differingBuckets(known, computeDigest(now))).toEqual(parts);
});

it('distinguishes a flipped node with remaining pods from one without, but not their number', () => {
  const flipped = (podsOnSource: number): string => computeDigest([node('a', { flipped: true, podsOnSource })]);
  expect(flipped(0)).not.toBe(flipped(1));
  expect(flipped(1)).toBe(flipped(5));
});

it('divides nodes evenly', () => {
  const counts = new Map<number, number>();
  for (const { name } of many) counts.set(computeBucket(name), (counts.get(computeBucket(name)) ?? 0) + 1);
  expect(Math.max(...counts.values())).toBeLessThan(30);
});

it('compresses equal nodes, and decompresses them', () => {
  const some = [node('a'), node('b', { flipped: true }), node('c'), node('d', { flipped: true, podsOnSource: 2 })];
  expect(groupNodes(some).map(({ names }) => names)).toEqual([['a', 'c'], ['b'], ['d']]);
  expect(expandGroups(groupNodes(some))).toEqual(some);
});
