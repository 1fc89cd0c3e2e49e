import type { HelmValues } from '../../model/helm-values.ts';
import { flipLabel } from '../../model/names.ts';
import type { MigrationInput } from '../../model/input.ts';
import { summarizeList } from '../../model/summarize.ts';
import type { DryRunStep } from '../../model/dry-run.ts';
import { calicoGroup } from '../canal/export.ts';
import { findCanal } from '../canal/detect.ts';
import { canalObjects } from '../canal/removal.ts';
import type { HelmSettings } from '../helm/command.ts';
import { dryRunRelease } from '../helm/release.ts';
import { chartSource } from '../helm/render.ts';
import type { ClusterConnection, Clusters } from '../kubernetes/connection.ts';
import { listDefinitions } from '../kubernetes/crds.ts';
import { budgetText, findBudgets } from '../kubernetes/disruption-budgets.ts';
import { requestEviction } from '../node/drain.ts';
import { drainVerdict } from '../node/drain-rules.ts';
import { ifFound, ifKnown, errorMessage, httpStatus, withFailures } from '../kubernetes/errors.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { cordonedAnnotation } from '../kubernetes/names.ts';
import { patchNode } from '../kubernetes/nodes.ts';
import { allPages } from '../kubernetes/pagination.ts';
import { listPods, type PodFacts } from '../kubernetes/pods.ts';
import { objectKey } from '../kubernetes/object-key.ts';

/** Maximum number of names in one line. */
const maxNamed = 20;

/** Creates the activities of a dry run: the API server validates each operation and persists nothing. */
export function createDryRunActivities(onCluster: OnCluster, clusters: Clusters, helm: HelmSettings) {
  return {
    /**
     * Runs a server-side dry run of Cilium's release.
     * @throws HelmFailed when the API server would refuse it.
     */
    dryRunRelease: withFailures(
      'dry-run the release',
      async ({ input, values }: { input: MigrationInput; values: HelmValues }): Promise<void> => {
        await dryRunRelease(clusters, helm, { ...chartSource(input), values });
      }
    ),

    /** Runs a server-side dry run of a node's migration: cordon, label, and the eviction of each of its pods. */
    dryRunNode: onCluster(
      'dry-run the node',
      async (connection, { input, node }: { input: MigrationInput; node: string }): Promise<DryRunStep> => {
        const body = {
          metadata: { labels: { [flipLabel]: 'true' }, annotations: { [cordonedAnnotation]: 'true' } },
          spec: { unschedulable: true },
        };
        await patchNode(connection, node, body, { dryRun: true });
        const { granted, problems } = await dryRunDrain(connection, input, node);
        return {
          step: `migrate ${node}`,
          would: [`cordon and label ${node}`, `evict ${granted.length} pods: ${summarizeList(granted, maxNamed)}`],
          problems: problems.slice(0, maxNamed),
        };
      }
    ),

    /** Runs a server-side dry run of Canal's removal. */
    dryRunCleanup: onCluster('dry-run the cleanup', async (connection): Promise<DryRunStep> => {
      const canal = await findCanal(connection);
      const objects = canal === undefined ? [] : await canalObjects(connection, canal, canal.namespace);
      const definitions = await listDefinitions(connection, calicoGroup);
      const problems: string[] = [];
      for (const object of objects) {
        const deletion = connection.objects.delete(object, undefined, 'All').catch((error: unknown) => {
          if (httpStatus(error) === undefined || httpStatus(error) === 404) throw error;
          problems.push(`${object.kind} ${objectKey(object)}: ${errorMessage(error)}`);
        });
        await ifKnown(ifFound(deletion));
      }
      const names = objects.map((object) => `${object.kind} ${objectKey(object)}`);
      return {
        step: 'cleanup',
        would: [
          `remove ${names.length} objects: ${summarizeList(names, maxNamed)}`,
          `export the objects of Calico's ${definitions.length} CRDs, and remove them`,
        ],
        problems,
      };
    }),
  };
}

/** Runs a server-side dry run of the eviction of each pod of a node. */
async function dryRunDrain(
  connection: ClusterConnection,
  { podCidr: targetPodCidr, drain: options }: MigrationInput,
  node: string
): Promise<{ granted: string[]; problems: string[] }> {
  const rules = { to: 'cilium' as const, targetPodCidr, options, forcedPods: [], daemonSets: true };
  const granted: string[] = [];
  const problems: string[] = [];
  for (const pod of await listPods(connection, { node })) {
    const verdict = drainVerdict(pod, rules, Date.now());
    if (verdict.action === 'refuse') problems.push(`${pod.key}: ${verdict.reason}`);
    if (verdict.action !== 'evict' || pod.deletion !== undefined) continue;
    const refusal = await dryRunEviction(connection, pod);
    if (refusal === undefined) granted.push(pod.key);
    else problems.push(`${pod.key}: ${refusal}`);
  }
  return { granted, problems };
}

/**
 * Runs a server-side dry run of a pod's eviction.
 * @returns the reason why the API server would refuse it now; undefined when it would not.
 */
async function dryRunEviction(connection: ClusterConnection, pod: PodFacts): Promise<string | undefined> {
  try {
    await requestEviction(connection, pod, true);
    return undefined;
  } catch (error) {
    const status = httpStatus(error);
    if (status === 404 || status === 409) return undefined;
    if (status === undefined) throw error;
    const { namespace } = pod;
    const all = await allPages((page) => connection.policy.listNamespacedPodDisruptionBudget({ namespace, ...page }));
    return findBudgets(pod, all).map(budgetText).join('; ') || errorMessage(error);
  }
}
