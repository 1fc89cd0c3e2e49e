import type { V1Pod } from '@kubernetes/client-node';
import type { Lab } from '../../lab/cluster/lab.ts';
import { waitFor } from '../../lab/process.ts';
import type { Network } from '../../model/network.ts';
import { listPods } from './pod-networks.ts';
import type { Mistake } from './policy-matrix.ts';
import { timeLimits } from './time-limits.ts';

/** Period from the kill of agents until their successors are seen to know all their pods (Unix, ms). */
export interface Absence {
  fromMs: number;
  toMs: number;
}

/**
 * Deletes the agents of a network on all nodes, as a crash would, and waits until their successors know all their pods.
 * Calico's agent is ready once it has programmed the node, Cilium's before it has regenerated the endpoints that it
 * found.
 */
export async function killAgents(lab: Lab, network: Network): Promise<Absence> {
  const selector = ['-n', 'kube-system', '-l', `k8s-app=${network}`];
  const before = new Set((await listPods(lab, ...selector)).map(({ metadata }) => metadata?.uid));
  const fromMs = Date.now();
  await lab.kubectl('delete', 'pods', ...selector, '--wait=false');
  let agents: V1Pod[] = [];
  const replaced = async (): Promise<boolean> => {
    agents = await listPods(lab, ...selector);
    return agents.length === before.size && agents.every((pod) => !before.has(pod.metadata?.uid) && isReady(pod));
  };
  await waitFor(`new agents of ${network}`, replaced, { timeoutMs: timeLimits.podsReady, pollIntervalMs: 1_000 });
  if (network === 'cilium') {
    const names = agents.map(({ metadata }) => metadata?.name ?? '');
    const regenerated = async (): Promise<boolean> =>
      (await Promise.all(names.map((name) => endpointsAreReady(lab, name)))).every(Boolean);
    await waitFor('the endpoints of all agents', regenerated, {
      timeoutMs: timeLimits.clusterChange,
      pollIntervalMs: 500,
    });
  }
  return { fromMs, toMs: Date.now() };
}

/**
 * True when a flow started to be evaluated wrongly while agents were absent. That this is over by the end of its stage
 * needs no clock: otherwise it is among the mistakes of the next stage, too.
 */
export function beganWithin({ at }: Mistake, { fromMs, toMs }: Absence): boolean {
  return Date.parse(at) >= fromMs && Date.parse(at) <= toMs;
}

function isReady({ status }: V1Pod): boolean {
  return status?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') === true;
}

async function endpointsAreReady({ kubectl }: Lab, agent: string): Promise<boolean> {
  const inAgent = ['-n', 'kube-system', 'exec', agent, '-c', 'cilium-agent', '--'];
  const text = await kubectl(...inAgent, 'cilium-dbg', 'endpoint', 'list', '-o', 'json').catch(() => '[]');
  const endpoints = JSON.parse(text) as { status?: { state?: string } }[];
  return endpoints.length > 0 && endpoints.every(({ status }) => status?.state === 'ready');
}
