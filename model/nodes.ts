/** A node as a migration sees it. */
export interface NodeFacts {
  name: string;
  controlPlane: boolean;
  ready: boolean;
  /** True when it runs a worker of this service; it is migrated last. */
  hostsWorker: boolean;
  /** True when it has the flip label. */
  flipped: boolean;
  /** True when this service cordoned it. */
  cordonedByUs: boolean;
  /**
   * Number of running pods, except on the host network, with an address outside the target's pod CIDR. Only counted on
   * flipped nodes.
   */
  podsOnSource: number;
}

/** Nodes that differ only in their names, as most do in a large cluster. */
export type NodeGroup = Omit<NodeFacts, 'name'> & { names: string[] };

/** Result of a read of the nodes. */
export interface NodesSeen {
  groups: NodeGroup[];
  /**
   * Parts (model/node-digest.ts) whose nodes are included; nodes of other parts are as the caller knows them.
   * @default all
   */
  buckets?: number[];
}

/** Groups nodes that differ only in their names. */
export function groupNodes(nodes: readonly NodeFacts[]): NodeGroup[] {
  const groups = new Map<string, NodeGroup>();
  for (const { name, ...facts } of nodes) {
    const key = JSON.stringify(facts);
    const group = groups.get(key) ?? { ...facts, names: [] };
    group.names.push(name);
    groups.set(key, group);
  }
  return [...groups.values()];
}

/** Returns the single nodes of the groups, ordered by name. */
export function expandGroups(groups: readonly NodeGroup[]): NodeFacts[] {
  return groups.flatMap(({ names, ...facts }) => names.map((name) => ({ name, ...facts }))).sort(byName);
}

/** True for a node that needs no further migration steps. */
export function isMigrated(node: NodeFacts): boolean {
  return node.flipped && !node.cordonedByUs && node.podsOnSource === 0;
}

/** Compares by code unit, not by locale, so that the order is the same on every worker. */
export function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
