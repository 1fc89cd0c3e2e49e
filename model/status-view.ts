/** Parts of the state that queries and the result show. Temporal refuses an answer above 2 MiB. */
import type { DryRunStep } from './dry-run.ts';
import { jsonBytes, takeWithin } from './byte-budget.ts';
import type { Plan } from './plan.ts';
import type { MigrationStatus, NodeState, NodeStatus } from './status.ts';

/** Argument of the query `status`: a page of the nodes. */
export interface NodePage {
  /**
   * Position of the first node, from 0.
   * @default 0
   */
  from?: number;
  /**
   * Maximum number of nodes. A page may have fewer, because its size is limited too.
   * @default 1,000
   */
  count?: number;
  /**
   * States of the nodes.
   * @default all
   */
  states?: readonly NodeState[];
}

/** Limits of the nodes in one answer. */
const maxNodes = 1_000;
const maxNodeBytes = 700_000;

/** Number of recently changed nodes that a status shows in addition to those in which something happens. */
const recentNodes = 100;

/** Limits of the effects on pods in a plan, and of the steps in the result of a dry run. */
const drainLimits = { maxItems: 3_000, maxBytes: 500_000 };
const stepLimits = { maxItems: 3_000, maxBytes: 500_000 };

/**
 * Returns the status as a query shows it. Without a page, a status with few nodes is complete. Of many nodes, it lists
 * those in which something happens or has just happened, and counts all.
 * @throws Error for a page that is not valid.
 */
export function statusView(status: MigrationStatus, page?: NodePage | null): MigrationStatus {
  if (page !== undefined && page !== null) return pageOf(status, page);
  const { nodes } = status;
  if (nodes.length <= maxNodes && jsonBytes(nodes) <= maxNodeBytes) return status;
  return { ...status, nodes: notableNodes(nodes), nodeCounts: countStates(nodes) };
}

/** Returns the number of nodes in each state, of a status that lists them all or only some. */
export function nodeCounts({ nodes, nodeCounts: counts }: MigrationStatus): Partial<Record<NodeState, number>> {
  return counts ?? countStates(nodes);
}

function countStates(nodes: readonly NodeStatus[]): Partial<Record<NodeState, number>> {
  const counts: Partial<Record<NodeState, number>> = {};
  for (const { state } of nodes) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}

function pageOf(status: MigrationStatus, page: NodePage): MigrationStatus {
  const { from = 0, count = maxNodes, states } = page;
  if (!isCount(from) || !isCount(count) || (states !== undefined && !Array.isArray(states)))
    throw new Error(
      'the argument of the query status is {"from": 0, "count": 100, "states": ["failed"]}; each is optional'
    );
  const { nodes: all } = status;
  const selected = states === undefined ? all : all.filter(({ state }) => states.includes(state));
  const limits = { maxItems: Math.min(count, maxNodes), maxBytes: maxNodeBytes };
  const nodes = takeWithin(selected.slice(from), limits);
  const end = from + nodes.length;
  return { ...status, nodes, nodeCounts: countStates(all), ...(end < selected.length && { nextFrom: end }) };
}

function isCount(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0;
}

/** States in which nothing happens to a node. */
const quietStates: readonly NodeState[] = ['pending', 'migrated', 'removed'];

/** Returns the nodes in which something happens, and the latest ones in which something happened, in their order. */
function notableNodes(nodes: readonly NodeStatus[]): NodeStatus[] {
  const active = nodes.filter(({ state }) => !quietStates.includes(state));
  const recent = nodes
    .filter(({ state, startedAt }) => quietStates.includes(state) && startedAt !== undefined)
    .sort((a, b) => compare(lastChange(b), lastChange(a)))
    .slice(0, recentNodes);
  const limits = { maxItems: maxNodes, maxBytes: maxNodeBytes };
  const shown = new Set(takeWithin([...active, ...recent], limits));
  return nodes.filter((node) => shown.has(node));
}

function lastChange({ startedAt = '', endedAt = startedAt }: NodeStatus): string {
  return endedAt;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Returns the plan as the query shows it: of many nodes, only the first ones have their effects on pods. */
export function planView(plan: Plan): Plan {
  if (plan.drains.length <= maxNodes && jsonBytes(plan.drains) <= drainLimits.maxBytes) return plan;
  const order = new Map(plan.waves.flatMap(({ nodes }) => nodes).map((node, index) => [node, index]));
  const rank = (node: string): number => order.get(node) ?? order.size;
  const sorted = [...plan.drains].sort((a, b) => rank(a.node) - rank(b.node));
  const drains = takeWithin(sorted, drainLimits);
  return { ...plan, drains, ...(drains.length < sorted.length && { drainsLeftOut: sorted.length - drains.length }) };
}

/** Returns the steps of a dry run as its result shows them: of many steps, those with problems come first. */
export function dryRunView(steps: readonly DryRunStep[]): { dryRunSteps: DryRunStep[]; dryRunStepsLeftOut?: number } {
  if (jsonBytes(steps) <= stepLimits.maxBytes) return { dryRunSteps: [...steps] };
  const byProblems = [...steps].sort((a, b) => Number(b.problems.length > 0) - Number(a.problems.length > 0));
  const kept = new Set(takeWithin(byProblems, stepLimits));
  return { dryRunSteps: steps.filter((step) => kept.has(step)), dryRunStepsLeftOut: steps.length - kept.size };
}
