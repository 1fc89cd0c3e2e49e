import { byName } from './nodes.ts';

/** A node that may be part of the next wave. */
export interface Candidate {
  name: string;
  controlPlane: boolean;
  hostsWorker: boolean;
}

/** Nodes that are migrated in parallel, and the reason for the choice. */
export interface Wave {
  nodes: string[];
  reason: string;
}

/** Rules for waves, in addition to the nodes themselves. */
export interface WaveRules {
  /** Maximum number of nodes in one wave. */
  maxConcurrency: number;
  /** Node to migrate first. */
  canaryNode?: string | undefined;
  /** True when a node is already migrated: no canary is needed. */
  proven: boolean;
}

/**
 * Returns the next wave of the remaining nodes: first one canary, then workers by name, then control planes one at a
 * time (so that etcd keeps its quorum), and last the node that runs the worker. Undefined when no node is left.
 */
export function nextWave(left: readonly Candidate[], rules: WaveRules): Wave | undefined {
  return chooseWave(sortByRank(left), rules);
}

/** Returns all remaining waves, if nothing changes. */
export function allWaves(left: readonly Candidate[], rules: WaveRules): Wave[] {
  const waves: Wave[] = [];
  let remaining = sortByRank(left);
  for (;;) {
    const wave = chooseWave(remaining, { ...rules, proven: rules.proven || waves.length > 0 });
    if (wave === undefined) return waves;
    waves.push(wave);
    // Except for a requested canary, the nodes of a wave are the first of the remaining ones.
    const isFirst = wave.nodes[0] === remaining[0]?.name;
    remaining = isFirst ? remaining.slice(wave.nodes.length) : remaining.filter(({ name }) => name !== wave.nodes[0]);
  }
}

/** Returns the next wave of the ordered nodes. */
function chooseWave(order: readonly Candidate[], { maxConcurrency, canaryNode, proven }: WaveRules): Wave | undefined {
  const [first] = order;
  if (first === undefined) return undefined;
  const requestedCanary = proven ? undefined : order.find((node) => node.name === canaryNode);
  if (requestedCanary !== undefined) return { nodes: [requestedCanary.name], reason: 'canary, as requested' };
  if (!proven) return { nodes: [first.name], reason: 'canary' };
  if (first.hostsWorker) return { nodes: [first.name], reason: 'runs the worker: last' };
  if (first.controlPlane) return { nodes: [first.name], reason: 'control plane: after the workers, one at a time' };
  const workers = order.slice(0, maxConcurrency).filter((node) => rank(node) === 0);
  return { nodes: workers.map((node) => node.name), reason: 'workers, by name' };
}

/** Sorts: workers, control planes, the node that runs the worker; each by name. */
function sortByRank(left: readonly Candidate[]): Candidate[] {
  return [...left].sort((a, b) => rank(a) - rank(b) || byName(a, b));
}

function rank(node: Candidate): number {
  if (node.hostsWorker) return 2;
  return node.controlPlane ? 1 : 0;
}
