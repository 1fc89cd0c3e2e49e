import { isMigrated, type NodeFacts } from './nodes.ts';

/** Number of parts into which the nodes are divided, by their names. */
const buckets = 128;

/** Number of characters in the digest of one part. */
const width = 8;

/**
 * Returns a digest of the nodes' state, whose length does not depend on their number. A comparison of two digests shows
 * in which parts a node has changed. It keeps the history of a large cluster's migration short: the workflow reads all
 * nodes before every wave, and receives only those that differ from its expectation.
 */
export function digestOf(nodes: readonly NodeFacts[]): string {
  const sums = new Uint32Array(buckets);
  // A sum, so that the order of the nodes does not matter.
  for (const node of nodes) {
    const index = bucketOf(node.name);
    sums[index] = ((sums[index] ?? 0) + hash(textOf(node))) >>> 0;
  }
  return Array.from(sums, (sum) => sum.toString(16).padStart(width, '0')).join('');
}

/** Returns the numbers of the parts in which two digests differ. */
export function differences(one: string, other: string): number[] {
  return Array.from({ length: buckets }, (_, index) => index).filter(
    (index) => partOf(one, index) !== partOf(other, index)
  );
}

/** Returns the number of the part that contains a node. */
export function bucketOf(name: string): number {
  return hash(name) % buckets;
}

function partOf(digest: string, index: number): string {
  return digest.slice(index * width, (index + 1) * width);
}

function textOf(node: NodeFacts): string {
  const { name, controlPlane, ready, hostsWorker, flipped, cordonedByUs } = node;
  return [name, controlPlane, ready, hostsWorker, flipped, cordonedByUs, isMigrated(node)].join('\n');
}

/**
 * Hashes with 32-bit FNV-1a and the finalizer of MurmurHash3: FNV alone maps names that differ in one letter close
 * together.
 */
function hash(text: string): number {
  let sum = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) sum = Math.imul(sum ^ text.charCodeAt(index), 0x01000193);
  sum = Math.imul(sum ^ (sum >>> 16), 0x85ebca6b);
  sum = Math.imul(sum ^ (sum >>> 13), 0xc2b2ae35);
  return (sum ^ (sum >>> 16)) >>> 0;
}
