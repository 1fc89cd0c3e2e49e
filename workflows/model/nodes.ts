/** A node as a migration sees it. */
export interface NodeFacts {
  name: string;
  controlPlane: boolean;
  ready: boolean;
  /** It runs a worker of this service, and is migrated last. */
  hostsWorker: boolean;
  /** It carries the label that flips it. */
  flipped: boolean;
  /** This service cordoned it. */
  cordonedByUs: boolean;
  /** Running pods, off the host's network, with an address outside the target's pod CIDR. */
  podsOnSource: number;
}

/** True for a node on which nothing is left to do. */
export function isMigrated(node: NodeFacts): boolean {
  return node.flipped && !node.cordonedByUs && node.podsOnSource === 0;
}

/** Compares by code unit, not by locale: the same order on every worker. */
export function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
