import { isMigrated, type NodeFacts } from './nodes.ts';

/** Number of parts into which the nodes are divided, by their names. */
const bucketCount = 128;

/** Number of characters in the digest of one part. */
const bucketHexDigits = 8;

/**
 * Returns a digest of the nodes' state, whose length does not depend on their number. A comparison of two digests shows
 * in which parts a node has changed. It keeps the history of a large cluster's migration short: the workflow reads all
 * nodes before every wave, and receives only those that differ from its expectation.
 */
export function computeDigest(nodes: readonly NodeFacts[]): string {
  const sums = new Uint32Array(bucketCount);
  // A sum, so that the order of the nodes does not matter.
  for (const node of nodes) {
    const index = computeBucket(node.name);
    sums[index] = ((sums[index] ?? 0) + hashText(serializeFacts(node))) >>> 0;
  }
  return Array.from(sums, (sum) => sum.toString(16).padStart(bucketHexDigits, '0')).join('');
}

/** Returns the numbers of the parts in which two digests differ. */
export function differingBuckets(digest: string, other: string): number[] {
  return Array.from({ length: bucketCount }, (_, index) => index).filter(
    (index) => bucketDigest(digest, index) !== bucketDigest(other, index)
  );
}

/** Returns the number of the part that contains a node. */
export function computeBucket(name: string): number {
  return hashText(name) % bucketCount;
}

function bucketDigest(digest: string, index: number): string {
  return digest.slice(index * bucketHexDigits, (index + 1) * bucketHexDigits);
}

function serializeFacts(node: NodeFacts): string {
  const { name, controlPlane, ready, hostsWorker, flipped, cordonedByUs } = node;
  return [name, controlPlane, ready, hostsWorker, flipped, cordonedByUs, isMigrated(node)].join('\n');
}

/**
 * Returns a number of 32 bits for a text, with FNV-1a and the finalizer of MurmurHash3: FNV alone maps names that differ
 * in one letter close together.
 */
export function hashText(text: string): number {
  let sum = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) sum = Math.imul(sum ^ text.charCodeAt(index), 0x01000193);
  sum = Math.imul(sum ^ (sum >>> 16), 0x85ebca6b);
  sum = Math.imul(sum ^ (sum >>> 13), 0xc2b2ae35);
  return (sum ^ (sum >>> 16)) >>> 0;
}
