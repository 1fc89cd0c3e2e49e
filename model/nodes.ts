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
  /** Running pods, off the host's network, with an address outside the target's pod CIDR; only counted on flipped nodes. */
  podsOnSource: number;
}

/** Nodes that are alike in everything but their names: in a large cluster, most are. */
export type NodeGroup = Omit<NodeFacts, 'name'> & { names: string[] };

/** Nodes as they were seen. */
export interface NodesSeen {
  groups: NodeGroup[];
  /** Only nodes of these parts are told of (model/node-digest.ts); the others are as the caller knows them. @default all */
  buckets?: number[];
}

/** Puts together nodes that are alike. */
export function grouped(nodes: readonly NodeFacts[]): NodeGroup[] {
  const groups = new Map<string, NodeGroup>();
  for (const { name, ...facts } of nodes) {
    const key = JSON.stringify(facts);
    const group = groups.get(key) ?? { ...facts, names: [] };
    group.names.push(name);
    groups.set(key, group);
  }
  return [...groups.values()];
}

/** The single nodes of some groups, in order of their names. */
export function ungrouped(groups: readonly NodeGroup[]): NodeFacts[] {
  return groups.flatMap(({ names, ...facts }) => names.map((name) => ({ name, ...facts }))).sort(byName);
}

/** True for a node on which nothing is left to do. */
export function isMigrated(node: NodeFacts): boolean {
  return node.flipped && !node.cordonedByUs && node.podsOnSource === 0;
}

/** Compares by code unit, not by locale: the same order on every worker. */
export function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
