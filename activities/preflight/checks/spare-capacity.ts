import type { V1Node } from '@kubernetes/client-node';
import { quantity, type PodFacts } from '../../kubernetes/pods.ts';
import { isReady } from '../../kubernetes/conditions.ts';
import { block, pass, warn, type Finding, type PreflightCheck } from '../check.ts';

/** Share of used capacity, without the nodes of a wave, above which the check warns. */
const warningShare = 0.9;

interface NodeCapacity {
  name: string;
  /** Requests of its pods that can move. */
  moving: Record<Resource, number>;
  /** Allocatable resources minus the requests of all its pods. */
  free: Record<Resource, number>;
}

/** Resources of which a node has an allocatable amount. */
export const resources = ['cpu', 'memory', 'pods'] as const;

/** One of {@link resources}. */
export type Resource = (typeof resources)[number];

/** Checks that the pods of a wave's nodes fit on the other nodes. */
export const spareCapacity: PreflightCheck = {
  ensures:
    'The pods of the largest nodes of a wave fit on the other nodes, by CPU and memory requests and by number of pods.',
  verdicts:
    'Blocks when they do not; warns when the other nodes would be more than 90 % full, or when there is no other node. Not checked in drain.mode "recycle".',
  fix: 'Add a node, reduce waves.maxConcurrency, or choose drain.mode "recycle", in which pods return to their node immediately.',
  rationale:
    'Evicted pods stay Pending until the node is schedulable again (76 pods at joshdow). Affinities are not considered.',
  run: async ({ input, nodes, pods }) => {
    if (input.drain.mode === 'recycle') return pass('not checked: pods return to their node (drain.mode "recycle")');
    const all = (await nodes()).filter((node) => isReady(node) && node.spec?.unschedulable !== true);
    if (all.length < 2)
      return warn(`schedulable nodes: ${all.length}; evicted pods stay Pending until their node is schedulable again`);
    const capacities = all.map((node) => computeCapacity(node, pods)).map((capacity) => capacity);
    return compareCapacity(await Promise.all(capacities), Math.min(input.waves.maxConcurrency, all.length - 1));
  },
};

async function computeCapacity(node: V1Node, pods: () => Promise<PodFacts[]>): Promise<NodeCapacity> {
  const name = node.metadata?.name ?? '';
  const podsOnNode = (await pods()).filter((pod) => pod.node === name && !pod.finished);
  const moving = podsOnNode.filter((pod) => !pod.hostNetwork && !pod.mirror && pod.controller !== 'DaemonSet');
  return { name, moving: sumRequests(moving), free: freeResources(node, podsOnNode) };
}

/** Sums the requests of pods, and their number. */
export function sumRequests(pods: readonly Pick<PodFacts, 'requests'>[]): Record<Resource, number> {
  return {
    cpu: pods.reduce((sum, { requests }) => sum + requests.cpu, 0),
    memory: pods.reduce((sum, { requests }) => sum + requests.memory, 0),
    pods: pods.length,
  };
}

/** Computes what a node has left next to the pods: its allocatable resources minus their requests. */
export function freeResources(
  { status }: V1Node,
  pods: readonly Pick<PodFacts, 'requests'>[]
): Record<Resource, number> {
  const used = sumRequests(pods);
  const free = (resource: Resource): number => (quantity(status?.allocatable?.[resource]) ?? 0) - used[resource];
  return { cpu: free('cpu'), memory: free('memory'), pods: free('pods') };
}

/** Compares demand and free capacity without the nodes whose pods request the most, for each resource separately. */
function compareCapacity(capacities: readonly NodeCapacity[], size: number): Finding {
  const texts: string[] = [];
  let verdict: Finding['verdict'] = 'pass';
  for (const resource of resources) {
    const sorted = [...capacities].sort((a, b) => b.moving[resource] - a.moving[resource]);
    const drained = sorted.slice(0, size);
    const requested = drained.reduce((sum, { moving }) => sum + moving[resource], 0);
    const free = sorted.slice(size).reduce((sum, capacity) => sum + Math.max(0, capacity.free[resource]), 0);
    const names = drained.map(({ name }) => name).join(', ');
    texts.push(
      `${resource}: ${formatAmount(resource, requested)} to move from ${names}, ${formatAmount(resource, free)} free elsewhere`
    );
    if (requested > free) verdict = 'block';
    else if (requested > free * warningShare && verdict === 'pass') verdict = 'warn';
  }
  return verdict === 'block' ? block(...texts) : verdict === 'warn' ? warn(...texts) : pass(...texts);
}

/** Formats an amount of a resource. */
export function formatAmount(resource: Resource, amount: number): string {
  return resource === 'memory' ? `${Math.round(amount / 2 ** 20)} MiB` : String(Math.round(amount * 100) / 100);
}
