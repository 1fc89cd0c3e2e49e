import type { NodeFacts } from '../../model/nodes.ts';
import { allWaves, type Wave } from '../../model/waves.ts';
import type { Migration } from './migration.ts';

/** Number of agents that the chart's own DaemonSet replaces in parallel (`maxUnavailable`). */
const minParallelAgents = 2;

/**
 * Returns the waves in which agents get another configuration, without those that already have it: one agent first,
 * then as many as the size of a node wave, but at least two, because no pod moves and running pods keep their network
 * while an agent starts.
 * @param doneNodes nodes whose agent already has it.
 * @default those of the cutover
 */
export function agentWaves(
  facts: readonly NodeFacts[],
  { input, state, status }: Migration,
  doneNodes: readonly string[] = state.doneNodes.cutover
): Wave[] {
  const updated = new Set(doneNodes);
  return allWaves(
    facts.filter(({ name }) => !updated.has(name)),
    {
      maxConcurrency: Math.max(minParallelAgents, status.maxConcurrency),
      canaryNode: input.waves.canaryNode,
      proven: updated.size > 0,
    }
  );
}
