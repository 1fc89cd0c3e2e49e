import { coexistenceValues, cutoverValues, finalValues, type HelmValues } from '../../model/helm-values.ts';
import type { MigrationInput } from '../../model/input.ts';
import { setImmediate } from 'node:timers/promises';
import { refusedConfig } from '../../model/refused-values.ts';
import { failure } from '../support/failures.ts';
import { valueChanges, type DrainCounts, type NodeDrain, type PlanDetails } from '../../model/plan.ts';
import type { Clusters } from '../kubernetes/connection.ts';
import type { HelmSettings } from '../helm/command.ts';
import type { ReleaseStep } from '../../model/planned-release.ts';
import { chartSource, renderPlan } from '../helm/render.ts';
import { releaseValues } from '../helm/release.ts';
import { drainVerdict } from '../node/drain-rules.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { listPods, type PodFacts } from '../kubernetes/pods.ts';
import { podImages } from '../kubernetes/allowed-images.ts';
import { objectKey } from '../kubernetes/object-key.ts';
import { ownObjects } from '../helpers/manifests.ts';

/**
 * Maximum numbers of pods that a plan names per node, and of nodes; others are only counted, because a plan is part of
 * a workflow's history.
 */
const maxNamed = 20;
const maxDetailed = 30;

/** Number of nodes after which the prediction lets other work of the process run. */
const nodesAtOnce = 50;

/** Input of `planDetails`. */
interface PlanTarget {
  input: MigrationInput;
  /** Nodes whose drains are predicted. */
  nodes: string[];
  /**
   * Helm values of each step, as the request was resolved.
   * @default those that this build computes from the input
   */
  values?: Record<ReleaseStep, HelmValues>;
}

/** Creates the activity that reads the details of a plan. */
export function createPlanActivities(onCluster: OnCluster, clusters: Clusters, helm: HelmSettings) {
  return {
    /**
     * Reads which objects a migration would create, the digests of what each step applies, and the outcome for the pods of
     * some nodes. Changes nothing.
     * @throws HelmFailed when the chart cannot be rendered.
     * @throws UnexpectedChart when it has another digest than required, or renders other content each time.
     * @throws InvalidInput when the rendered configuration contradicts the migration; no waiver allows that.
     */
    planDetails: onCluster(
      'compute the plan',
      async (connection, { input, nodes, values = computeValues(input) }: PlanTarget): Promise<PlanDetails> => {
        const { gitVersion } = await connection.version.getCode({});
        const { release, steps } = await renderPlan(helm, chartSource(input), values, gitVersion);
        const { coexistence, cutover, final } = steps;
        requireCompatibleConfig(coexistence.config, cutover.config);
        const drains = await predictDrains(nodes, await listPods(connection), input);
        const objects = [...ownObjects(input, ''), ...coexistence.objects];
        const images = [...objects, ...cutover.objects, ...final.objects].flatMap(podImages);
        return {
          changes: valueChanges(await releaseValues(clusters, helm, input.cluster), values.coexistence),
          objects: objects.map((object) => `${object.kind ?? ''} ${objectKey(object)}`),
          release,
          images: [...new Set([...images, input.proberImage, input.coexistenceImage])].sort(),
          drains: drains.slice(0, maxDetailed),
          otherDrains: drains.slice(maxDetailed).map(countDrain),
        };
      }
    ),
  };
}

function computeValues(input: MigrationInput): Record<ReleaseStep, HelmValues> {
  return { coexistence: coexistenceValues(input), cutover: cutoverValues(input), final: finalValues(input) };
}

/** @throws InvalidInput with one line per key that contradicts the migration. */
function requireCompatibleConfig(...configs: Readonly<Record<string, string>>[]): void {
  const refused = new Set(configs.flatMap(refusedConfig));
  if (refused.size === 0) return;
  const lines = [...refused].map((text) => `values: in the rendered cilium-config, ${text}`).join('\n');
  throw failure('InvalidInput', `the values contradict the migration:\n${lines}`);
}

/** Predicts the drain of each node. Other activities of the worker run meanwhile. */
async function predictDrains(
  nodes: readonly string[],
  pods: readonly PodFacts[],
  input: MigrationInput
): Promise<NodeDrain[]> {
  const podsByNode = new Map<string | undefined, PodFacts[]>();
  for (const pod of pods) {
    const sameNode = podsByNode.get(pod.node);
    if (sameNode === undefined) podsByNode.set(pod.node, [pod]);
    else sameNode.push(pod);
  }
  const drains: NodeDrain[] = [];
  for (const node of nodes) {
    drains.push(predictDrain(node, podsByNode.get(node) ?? [], input));
    if (drains.length % nodesAtOnce === 0) await setImmediate();
  }
  return drains;
}

/** Predicts a drain of the node, by the drain's own rules. */
export function predictDrain(node: string, pods: readonly PodFacts[], input: MigrationInput): NodeDrain {
  const rules = { to: 'cilium' as const, targetPodCidr: input.podCidr, options: input.drain, forcedPods: [] };
  const now = Date.now();
  const evicted: string[] = [];
  const recycled: string[] = [];
  const refused: string[] = [];
  const dataLost: string[] = [];
  const jobs: string[] = [];
  let graceSeconds = 0;
  for (const pod of pods) {
    const verdict = drainVerdict(pod, { ...rules, daemonSets: true }, now);
    if (verdict.action === 'refuse') refused.push(`${pod.key}: ${verdict.reason}`);
    if (verdict.action !== 'evict') continue;
    if (pod.controller === 'DaemonSet') recycled.push(pod.key);
    else evicted.push(pod.key);
    if (pod.controller === 'Job') jobs.push(pod.key);
    if (pod.emptyDirs.length > 0) dataLost.push(`${pod.key} (${pod.emptyDirs.join(', ')})`);
    graceSeconds = Math.max(graceSeconds, pod.graceSeconds);
  }
  return {
    node,
    counts: { evicted: evicted.length, recycled: recycled.length, refused: refused.length },
    evicted: evicted.slice(0, maxNamed),
    recycled: recycled.slice(0, maxNamed),
    refused: refused.slice(0, maxNamed),
    dataLost: dataLost.slice(0, maxNamed),
    ...(jobs.length > 0 && { jobs: jobs.slice(0, maxNamed) }),
    graceSeconds,
  };
}

function countDrain({ node, counts: { evicted, recycled, refused }, graceSeconds }: NodeDrain): DrainCounts {
  return [node, evicted, recycled, refused, graceSeconds];
}
