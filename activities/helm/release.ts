import { isDeepStrictEqual } from 'node:util';
import { ApplicationFailure } from '@temporalio/common';
import { Context } from '@temporalio/activity';
import type { HelmValues } from '../../model/helm-values.ts';
import { agentImage, agentLabel } from '../cilium/agents.ts';
import { ciliumIsOurs } from '../cilium/flip.ts';
import { applyNamespace } from '../helpers/namespace.ts';
import type { ClusterConnection, Clusters } from '../kubernetes/connection.ts';
import { ifFound, withFailures } from '../kubernetes/errors.ts';
import { ciliumNamespace } from '../kubernetes/names.ts';
import { poll } from '../support/poll.ts';
import { chartArguments, runHelm, type HelmSettings } from './command.ts';
import { planRelease, type ReleasePlan, type Revision } from './plan-release.ts';

/** Release name of Cilium, as its documentation has it. */
const ciliumRelease = 'cilium';

/** Helm's own limit for one command, in seconds; shorter than the activity's, so that Helm ends in order. */
const helmTimeoutSeconds = 600;

/** Input of `applyHelmRelease`. */
export interface ReleaseTarget {
  cluster: string;
  /** An `oci://` reference, or a path on the worker's machine. */
  chart: string;
  /** Version; not used for a path. */
  version: string;
  /** All values that differ from the chart's own. */
  values: HelmValues;
}

/** What Helm tells of a release; `version` is the chart's. */
interface ReleaseMetadata {
  version: string;
}

/** The activities on Helm's releases. */
export function createHelmActivities(clusters: Clusters, helm: HelmSettings) {
  return {
    /**
     * Makes the release be as given: installs or upgrades it, or does nothing when it is so already. A release that a dead
     * Helm left pending is mended first. Neither atomic nor waiting: a half-working CNI that is uninstalled again is worse
     * than one to look at, and waiting is for the agents' own activity.
     * @throws HelmFailed with the end of what Helm said.
     */
    applyHelmRelease: withFailures(
      'apply the Helm release',
      async ({ cluster, chart, version, values }: ReleaseTarget): Promise<void> => {
        const scope = await scopeOf(clusters, cluster);
        const plan = await untilFree(helm, scope, await clusters.connect(cluster));
        if (plan.action === 'compare') {
          const get = async (what: string): Promise<unknown> =>
            JSON.parse(await runHelm(helm, ['get', what, ciliumRelease, '-o', 'json', ...scope]));
          const release = (await get('metadata')) as ReleaseMetadata;
          const sameChart = chart.startsWith('/') || release.version === version;
          if (sameChart && isDeepStrictEqual(await get('values'), values)) return;
        }
        const source = chartArguments(helm, chart, version);
        const { workflowId } = Context.current().info.workflowExecution ?? { workflowId: 'unknown' };
        await runHelm(
          helm,
          [
            ...['upgrade', '--install', ciliumRelease, ...source, ...scope, '--values', '-', '--reset-values'],
            ...['--timeout', `${helmTimeoutSeconds}s`, '--history-max', '10', '--description', workflowId],
          ],
          JSON.stringify(values)
        );
      }
    ),

    /**
     * Removes Cilium's release. The image that its agents ran is written down first: the nodes are cleaned with it.
     * @throws HelmFailed with the end of what Helm said.
     */
    uninstallCilium: withFailures('remove Cilium', async ({ cluster }: { cluster: string }): Promise<void> => {
      const connection = await clusters.connect(cluster);
      if (!(await ciliumIsOurs(connection))) return;
      const image = await agentImage(connection);
      if (image !== undefined) await applyNamespace(connection, image);
      const scope = await scopeOf(clusters, cluster);
      await untilFree(helm, scope, connection);
      if ((await readHistory(helm, scope)).length > 0) await runHelm(helm, ['uninstall', ciliumRelease, ...scope]);
      await poll(
        async () => {
          const left = await connection.core.listNamespacedPod({
            namespace: ciliumNamespace,
            labelSelector: agentLabel,
          });
          const names = left.items.map(({ metadata }) => metadata?.name);
          return names.length === 0
            ? { done: undefined }
            : { waitingFor: `Cilium's agents to end: ${names.join(', ')}` };
        },
        { timeoutMs: 300_000, onTimeout: 'AgentNotReady', advice: `look at these pods in ${ciliumNamespace}` }
      );
    }),
  };
}

/** Values that Cilium's release has; none where there is no release. */
export async function releaseValues(clusters: Clusters, helm: HelmSettings, cluster: string): Promise<HelmValues> {
  const scope = await scopeOf(clusters, cluster);
  if ((await readHistory(helm, scope)).length === 0) return {};
  return (JSON.parse(await runHelm(helm, ['get', 'values', ciliumRelease, '-o', 'json', ...scope])) ??
    {}) as HelmValues;
}

/** Has the API server say what it would make of the release, changing nothing. @throws HelmFailed when it refuses. */
export async function rehearseRelease(
  clusters: Clusters,
  helm: HelmSettings,
  { cluster, chart, version, values }: ReleaseTarget
): Promise<void> {
  const source = chartArguments(helm, chart, version);
  const scope = await scopeOf(clusters, cluster);
  const args = ['upgrade', '--install', ciliumRelease, ...source, ...scope, '--values', '-'];
  await runHelm(helm, [...args, '--reset-values', '--dry-run=server'], JSON.stringify(values));
}

async function scopeOf(clusters: Clusters, cluster: string): Promise<string[]> {
  const { file, context } = await clusters.kubeconfigOf(cluster);
  const chosen = context === undefined ? [] : ['--kube-context', context];
  return ['--namespace', ciliumNamespace, '--kubeconfig', file, ...chosen];
}

async function readHistory(helm: HelmSettings, scope: readonly string[]): Promise<Revision[]> {
  try {
    return JSON.parse(await runHelm(helm, ['history', ciliumRelease, '-o', 'json', ...scope])) as Revision[];
  } catch (error) {
    if (error instanceof ApplicationFailure && error.message.includes('release: not found')) return [];
    throw error;
  }
}

/** Waits for a Helm that may be at work on the release, and clears away what a dead one left. */
async function untilFree(
  helm: HelmSettings,
  scope: readonly string[],
  connection: ClusterConnection
): Promise<ReleasePlan> {
  return poll(
    async () => {
      const plan = planRelease(await readHistory(helm, scope), Date.now());
      if (plan.action === 'wait') return { waitingFor: `revision ${plan.revision} of the release, which is pending` };
      if (plan.action !== 'forget') return { done: plan };
      // Helm's own record of the revision (helm.sh/helm pkg/storage/driver/secrets.go).
      const name = `sh.helm.release.v1.${ciliumRelease}.v${plan.revision}`;
      await ifFound(connection.core.deleteNamespacedSecret({ name, namespace: ciliumNamespace }));
      return { waitingFor: `the record of revision ${plan.revision}, whose Helm died, to go` };
    },
    { timeoutMs: 300_000, everyMs: 2_000, onTimeout: 'HelmFailed', advice: 'see "helm history cilium"' }
  );
}
