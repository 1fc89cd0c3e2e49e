import { isMigrated, type NodeFacts } from './nodes.ts';

/** Into so many parts the nodes are divided, by their names. */
const buckets = 128;

/** Characters of the digest of one part. */
const width = 8;

/**
 * What nodes are like, as a text whose length does not depend on how many there are: who knows one, and is given another,
 * can tell in which parts something has changed. It keeps the history of a large cluster's migration short, which looks at
 * all nodes before every wave and is told only of those that are not as it expects.
 */
export function digestOf(nodes: readonly NodeFacts[]): string {
  const sums = new Uint32Array(buckets);
  // A sum, so that the order does not matter.
  for (const node of nodes) {
    const index = bucketOf(node.name);
    sums[index] = ((sums[index] ?? 0) + hash(textOf(node))) >>> 0;
  }
  return Array.from(sums, (sum) => sum.toString(16).padStart(width, '0')).join('');
}

/** Numbers of the parts in which two digests differ. */
export function differences(one: string, other: string): number[] {
  return Array.from({ length: buckets }, (_, index) => index).filter(
    (index) => partOf(one, index) !== partOf(other, index)
  );
}

/** In which part a node is. */
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

/** FNV-1a with 32 bits, spread by the end of MurmurHash3: FNV alone leaves names that differ in one letter close together. */
function hash(text: string): number {
  let sum = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) sum = Math.imul(sum ^ text.charCodeAt(index), 0x01000193);
  sum = Math.imul(sum ^ (sum >>> 16), 0x85ebca6b);
  sum = Math.imul(sum ^ (sum >>> 13), 0xc2b2ae35);
  return (sum ^ (sum >>> 16)) >>> 0;
}
