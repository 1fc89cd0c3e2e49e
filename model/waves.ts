import { byName } from './nodes.ts';

/** A node that may be part of the next wave. */
export interface Candidate {
  name: string;
  controlPlane: boolean;
  hostsWorker: boolean;
}

/** Nodes that are migrated at the same time, and why these. */
export interface Wave {
  nodes: string[];
  reason: string;
}

/** What decides about waves beside the nodes themselves. */
export interface WaveRules {
  /** Nodes of one wave at most. */
  size: number;
  /** Node to begin with. */
  canary?: string | undefined;
  /** Whether a node is migrated already, so that no canary is needed any more. */
  proven: boolean;
}

/**
 * The next wave of those that are left: first one canary, then workers by name, then control planes one at a time (so
 * that etcd keeps its quorum), and last the node that runs the worker. Undefined when none is left.
 */
export function nextWave(left: readonly Candidate[], rules: WaveRules): Wave | undefined {
  return waveOf(ranked(left), rules);
}

/** All waves that are to come, if nothing changes. */
export function allWaves(left: readonly Candidate[], rules: WaveRules): Wave[] {
  const waves: Wave[] = [];
  let remaining = ranked(left);
  for (;;) {
    const wave = waveOf(remaining, { ...rules, proven: rules.proven || waves.length > 0 });
    if (wave === undefined) return waves;
    waves.push(wave);
    // But for a canary that was asked for, they are the first of those that are left.
    const isFirst = wave.nodes[0] === remaining[0]?.name;
    remaining = isFirst ? remaining.slice(wave.nodes.length) : remaining.filter(({ name }) => name !== wave.nodes[0]);
  }
}

/** The next wave of nodes in their order. */
function waveOf(order: readonly Candidate[], { size, canary, proven }: WaveRules): Wave | undefined {
  const [first] = order;
  if (first === undefined) return undefined;
  const chosen = proven ? undefined : order.find((node) => node.name === canary);
  if (chosen !== undefined) return { nodes: [chosen.name], reason: 'canary, as asked for' };
  if (!proven) return { nodes: [first.name], reason: 'canary' };
  if (first.hostsWorker) return { nodes: [first.name], reason: 'runs the worker: last' };
  if (first.controlPlane) return { nodes: [first.name], reason: 'control plane: after the workers, one at a time' };
  const workers = order.slice(0, size).filter((node) => rank(node) === 0);
  return { nodes: workers.map((node) => node.name), reason: 'workers, by name' };
}

/** Workers, control planes, the node that runs the worker; each by name. */
function ranked(left: readonly Candidate[]): Candidate[] {
  return [...left].sort((a, b) => rank(a) - rank(b) || byName(a, b));
}

function rank(node: Candidate): number {
  if (node.hostsWorker) return 2;
  return node.controlPlane ? 1 : 0;
}
