import { coexistenceValues } from '../../model/helm-values.ts';
import type { MigrationInput } from '../../model/input.ts';
import { valueChanges, type NodeDrain, type PlanDetails } from '../../model/plan.ts';
import type { HelmSettings } from '../helm/command.ts';
import { renderChart } from '../helm/render.ts';
import { releaseValues } from '../helm/release.ts';
import type { Clusters } from '../kubernetes/connection.ts';
import { drainVerdict } from '../node/drain-rules.ts';
import { withFailures } from '../kubernetes/errors.ts';
import { listPods, type PodFacts } from '../kubernetes/pods.ts';
import { objectKey } from '../kubernetes/object-key.ts';
import { ownObjects } from '../helpers/manifests.ts';

/**
 * Maximum numbers of pods that a plan names per node, and of nodes; others are only counted, because a plan is part of
 * a workflow's history.
 */
const maxNamed = 20;
const maxDetailed = 30;

/** Creates the activity that reads the details of a plan. */
export function createPlanActivities(clusters: Clusters, helm: HelmSettings) {
  return {
    /**
     * Reads which objects a migration would create, and the outcome for the pods of some nodes. Changes nothing.
     * @throws HelmFailed when the chart cannot be rendered.
     */
    planDetails: withFailures(
      'read what the plan needs',
      async ({ input, nodes }: { input: MigrationInput; nodes: string[] }): Promise<PlanDetails> => {
        const connection = await clusters.connect(input.cluster);
        const { gitVersion } = await connection.version.getCode({});
        const values = coexistenceValues(input);
        const { objects } = await renderChart(helm, input, gitVersion);
        const pods = await listPods(connection);
        return {
          changes: valueChanges(await releaseValues(clusters, helm, input.cluster), values),
          objects: [...ownObjects(input, ''), ...objects].map((object) => `${object.kind ?? ''} ${objectKey(object)}`),
          drains: nodes.map((node, index) => predictDrain(node, pods, input, index < maxDetailed ? maxNamed : 0)),
        };
      }
    ),
  };
}

/** Predicts a drain of the node, by the drain's own rules. */
function predictDrain(node: string, pods: readonly PodFacts[], input: MigrationInput, limit: number): NodeDrain {
  const rules = { to: 'cilium' as const, targetPodCidr: input.podCidr, options: input.drain, forcedPods: [] };
  const now = Date.now();
  const evicted: string[] = [];
  const recycled: string[] = [];
  const refused: string[] = [];
  const dataLost: string[] = [];
  let graceSeconds = 0;
  for (const pod of pods.filter((candidate) => candidate.node === node)) {
    const verdict = drainVerdict(pod, { ...rules, daemonSets: true }, now);
    if (verdict.action === 'refuse') refused.push(`${pod.key}: ${verdict.reason}`);
    if (verdict.action !== 'evict') continue;
    if (pod.controller === 'DaemonSet') recycled.push(pod.key);
    else evicted.push(pod.key);
    if (pod.emptyDirs.length > 0) dataLost.push(`${pod.key} (${pod.emptyDirs.join(', ')})`);
    graceSeconds = Math.max(graceSeconds, pod.graceSeconds);
  }
  return {
    node,
    counts: { evicted: evicted.length, recycled: recycled.length, refused: refused.length },
    evicted: evicted.slice(0, limit),
    recycled: recycled.slice(0, limit),
    refused: refused.slice(0, limit),
    dataLost: dataLost.slice(0, limit),
    graceSeconds,
  };
}
