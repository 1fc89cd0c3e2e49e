import type { KubernetesObject, V1DaemonSet, V1Deployment, V1Node } from '@kubernetes/client-node';
import { ownObjects } from '../../helpers/manifests.ts';
import { isReady } from '../../kubernetes/conditions.ts';
import { matchesSelector, type LabelSelector } from '../../kubernetes/label-selectors.ts';
import { helperNamespace } from '../../kubernetes/names.ts';
import { podRequests, type PodFacts } from '../../kubernetes/pods.ts';
import { summarizeList } from '../../../model/summarize.ts';
import { block, pass, type Finding, type PreflightCheck } from '../check.ts';
import { formatAmount, freeResources, resources, sumRequests, type Resource } from './spare-capacity.ts';

/** Pods of a workload that the migration adds. */
export interface AddedWorkload {
  name: string;
  namespace: string;
  selector: LabelSelector;
  requests: PodFacts['requests'];
  /** Number of its pods; undefined for one pod on every node. */
  replicas?: number;
}

/** The pod that checks a node or runs a script on it: only one of them runs on a node at a time. */
const oneShotPod = { name: 'one pod that checks the node', requests: { cpu: 0, memory: 0 } };

/** Checks that every node has room for the pods that the migration adds. */
export const addedPods: PreflightCheck = {
  ensures: 'Every Ready node has room for the pods that the migration adds, by number of pods, CPU and memory.',
  verdicts:
    'Blocks when a node has too few free pods, or too little CPU or memory for their requests: the probers, the NAT exemption, what the chart of Cilium runs on every node, and one pod that checks the node.',
  fix: 'Raise maxPods of the kubelet, or move pods from these nodes.',
  rationale:
    'On a full node, the scheduler and the kubelet kill pods of users for pods with a critical priority, and others never run (k8s.io/kubernetes pkg/kubelet/preemption).',
  run: async ({ input, nodes, pods, chart }) => {
    const { objects } = await chart();
    return evaluateRoom(addedWorkloads([...ownObjects(input, ''), ...objects]), await nodes(), await pods());
  },
};

/** Returns the workloads among rendered objects. */
export function addedWorkloads(objects: readonly KubernetesObject[]): AddedWorkload[] {
  return objects.flatMap((object) => {
    if (object.kind === 'DaemonSet') return addedWorkload(object);
    if (object.kind !== 'Deployment') return [];
    const deployment = object as V1Deployment;
    return { ...addedWorkload(deployment), replicas: deployment.spec?.replicas ?? 1 };
  });
}

function addedWorkload({ metadata, spec }: V1DaemonSet | V1Deployment): AddedWorkload {
  const { name = '', namespace = '' } = metadata ?? {};
  return { name, namespace, selector: spec?.selector ?? {}, requests: podRequests(spec?.template.spec ?? {}) };
}

/**
 * Compares the room on every Ready node with what is added. Pods that an earlier run has added are not counted twice.
 */
export function evaluateRoom(
  added: readonly AddedWorkload[],
  nodes: readonly V1Node[],
  pods: readonly PodFacts[]
): Finding {
  const everywhere = [...added.filter(({ replicas }) => replicas === undefined), oneShotPod];
  const needed = sumRequests(everywhere);
  const others = pods.filter((pod) => !pod.finished && !isAdded(pod, added));
  const usedByNode = groupByNode(others);
  const shortages: string[] = [];
  const left = { cpu: 0, memory: 0, pods: 0 };
  for (const node of nodes.filter((candidate) => isReady(candidate))) {
    const name = node.metadata?.name ?? '';
    const free = freeResources(node, usedByNode.get(name) ?? []);
    for (const resource of resources) {
      if (needed[resource] > free[resource]) shortages.push(describeShortage(name, resource, needed, free));
      else left[resource] += free[resource] - needed[resource];
    }
  }
  const replicas = added.flatMap((workload) => Array.from({ length: workload.replicas ?? 0 }, () => workload));
  const anywhere = sumRequests(replicas);
  for (const resource of resources)
    if (anywhere[resource] > left[resource]) shortages.push(describeShortage('all nodes', resource, anywhere, left));
  const names = everywhere.map(({ name }) => name).join(', ');
  if (shortages.length > 0) return block(`no room for ${names}: ${summarizeList(shortages)}`);
  return pass(`every Ready node has room for ${names}`);
}

function describeShortage(
  where: string,
  resource: Resource,
  needed: Readonly<Record<Resource, number>>,
  free: Readonly<Record<Resource, number>>
): string {
  const amounts = [free[resource], needed[resource]].map((amount) => formatAmount(resource, Math.max(0, amount)));
  return `${where} (${resource}: ${amounts.join(' free of ')} needed)`;
}

function groupByNode(pods: readonly PodFacts[]): Map<string, PodFacts[]> {
  const groups = new Map<string, PodFacts[]>();
  for (const pod of pods) {
    const group = groups.get(pod.node);
    if (group === undefined) groups.set(pod.node, [pod]);
    else group.push(pod);
  }
  return groups;
}

function isAdded(pod: PodFacts, added: readonly AddedWorkload[]): boolean {
  if (pod.namespace === helperNamespace) return true;
  return added.some(({ namespace, selector }) => namespace === pod.namespace && matchesSelector(selector, pod.labels));
}
