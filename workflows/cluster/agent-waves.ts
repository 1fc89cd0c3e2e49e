import type { ClusterState } from './state.ts';
import type { MigrationInput } from '../../model/input.ts';
import type { NodeFacts } from '../../model/nodes.ts';
import { allWaves, type Wave } from '../../model/waves.ts';

/** As many agents as the chart's own DaemonSet replaces at a time (`maxUnavailable`). */
const agentsAtOnce = 2;

/**
 * In which order agents get another configuration, and how many at a time: one first, then as many as in a wave of nodes,
 * but two at least, since no pod moves and what runs goes on while an agent starts. Without those that have it already.
 */
export function agentWaves(
  facts: readonly NodeFacts[],
  { waves }: MigrationInput,
  { done, status }: ClusterState
): Wave[] {
  const have = new Set(done['cut-over']);
  return allWaves(
    facts.filter(({ name }) => !have.has(name)),
    { size: Math.max(agentsAtOnce, status.concurrency), canary: waves.canary, proven: have.size > 0 }
  );
}
