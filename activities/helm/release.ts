import { isDeepStrictEqual } from 'node:util';
import { ApplicationFailure } from '@temporalio/common';
import { Context } from '@temporalio/activity';
import { ownsCni, type HelmValues } from '../../model/helm-values.ts';
import { summarizeList } from '../../model/summarize.ts';
import { agentDaemonSet, agentImage, agentLabel } from '../cilium/agents.ts';
import { ciliumIsOurs } from '../cilium/flip.ts';
import { applyNamespace } from '../helpers/namespace.ts';
import { isRollingBack, requireApproval } from '../kubernetes/approvals.ts';
import type { ClusterConnection, Clusters } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { removeLostPods } from '../kubernetes/lost-pods.ts';
import { ciliumNamespace } from '../kubernetes/names.ts';
import { allPages } from '../kubernetes/pagination.ts';
import { poll } from '../support/poll.ts';
import { withChart, type ChartSource, type LocalChart } from './chart-source.ts';
import { runHelm, type HelmSettings } from './command.ts';
import { planRelease, type ReleasePlan, type Revision } from './plan-release.ts';
import { requirePlanned, type PlannedStep } from './planned-step.ts';

/** Release name of Cilium, as in its documentation. */
const ciliumRelease = 'cilium';

/** Helm's own timeout for one command, in seconds; shorter than the activity's, so that Helm terminates gracefully. */
const helmTimeoutSeconds = 600;

/** A release to be applied. */
export interface ReleaseTarget extends ChartSource {
  /** All values that differ from the chart's defaults. */
  values: HelmValues;
  /**
   * What the approved plan recorded for this step.
   * @default not compared: the plan is of an earlier build, or an earlier run has begun the cutover
   */
  planned?: PlannedStep;
}

/** Helm's metadata of a release; `version` is the chart's. */
interface ReleaseMetadata {
  version: string;
}

/** Creates the activities on Helm's releases. */
export function createHelmActivities(onCluster: OnCluster, clusters: Clusters, helm: HelmSettings) {
  return {
    /**
     * Reconciles the release: installs or upgrades it, or does nothing when it is already as desired. First compares the
     * chart, and the manifests that it renders now, with the plan. Repairs a release that a dead Helm process left pending.
     * Uses neither `--atomic` nor `--wait`: uninstalling a half-working CNI is worse than keeping it for inspection, and
     * another activity waits for the agents.
     * @throws ApprovalMissing, ApprovalsUnverifiable when the plan, or the cutover, is not approved as configured.
     * @throws PlanChanged when they differ from the plan; nothing was changed.
     * @throws UnexpectedChart when the chart has another digest than required; nothing was changed.
     * @throws HelmFailed with the end of Helm's output.
     */
    applyHelmRelease: onCluster('apply the Helm release', async (connection, target: ReleaseTarget): Promise<void> => {
      await requireApprovedValues(connection, target.values);
      return withChart(helm, target, async (chart) => {
        const { cluster, values, planned } = target;
        if (planned !== undefined) {
          const { gitVersion } = await connection.version.getCode({});
          await requirePlanned(helm, { ...target, planned }, chart, gitVersion);
        }
        const scope = await buildScope(clusters, cluster);
        let plan = await waitForOtherHelm(helm, scope);
        for (; plan.action === 'forget'; plan = await waitForOtherHelm(helm, scope))
          await forgetRevision(connection, plan.revision);
        if (plan.action === 'compare' && (await isApplied(helm, scope, target, chart))) return;
        const { workflowId } = Context.current().info.workflowExecution ?? { workflowId: 'unknown' };
        const description = `${workflowId}, chart ${chart.digest}`;
        await runHelm(
          helm,
          [
            ...['upgrade', '--install', ciliumRelease, chart.path, ...scope, '--values', '-', '--reset-values'],
            ...['--timeout', `${helmTimeoutSeconds}s`, '--history-max', '10', '--description', description],
          ],
          JSON.stringify(values)
        );
      });
    }),

    /**
     * Uninstalls Cilium's release. First records the image of its agents, with which the nodes are cleaned.
     * @throws HelmFailed with the end of Helm's output.
     */
    uninstallCilium: onCluster('remove Cilium', async (connection, { cluster }: { cluster: string }): Promise<void> => {
      if (!(await ciliumIsOurs(connection))) return;
      const image = await agentImage(connection);
      if (image !== undefined) await applyNamespace(connection, image);
      const scope = await buildScope(clusters, cluster);
      // Helm also uninstalls a release that a dead Helm process left pending. Its record must stay until then: only the
      // record names the objects that are still to be removed.
      await waitForOtherHelm(helm, scope);
      if ((await readHistory(helm, scope)).length > 0) await runHelm(helm, ['uninstall', ciliumRelease, ...scope]);
      await poll(
        async () => {
          await removeLostPods(connection, { namespace: ciliumNamespace, daemonSets: [agentDaemonSet] });
          const which = { namespace: ciliumNamespace, labelSelector: agentLabel };
          const agents = await allPages((page) => connection.core.listNamespacedPod({ ...which, ...page }));
          const names = agents.map(({ metadata }) => metadata?.name ?? '');
          return names.length === 0
            ? { done: undefined }
            : { waitingFor: `the end of Cilium's ${names.length} agents: ${summarizeList(names)}` };
        },
        { timeoutMs: 300_000, onTimeout: 'AgentNotReady', advice: `check these pods in ${ciliumNamespace}` }
      );
    }),
  };
}

/** True when the deployed release has this chart and these values. */
async function isApplied(
  helm: HelmSettings,
  scope: readonly string[],
  { chart, version, values, planned }: ReleaseTarget,
  { digest }: LocalChart
): Promise<boolean> {
  const readSection = async (section: string): Promise<unknown> =>
    JSON.parse(await runHelm(helm, ['get', section, ciliumRelease, '-o', 'json', ...scope]));
  const release = (await readSection('metadata')) as ReleaseMetadata;
  if (!chart.startsWith('/') && release.version !== version) return false;
  const [latest] = (await readHistory(helm, scope)).sort((a, b) => b.revision - a.revision);
  const applied = chartDigestInText.exec(latest?.description ?? '')?.[0];
  // Earlier builds recorded no digest: without a plan to compare with, the version decides.
  const isSameChart = applied === undefined ? planned === undefined : applied === digest;
  return isSameChart && isDeepStrictEqual(await readSection('values'), values);
}

/** Digest of the chart at the end of a revision's description. */
const chartDigestInText = /sha256:[0-9a-f]{64}$/;

/**
 * Checks the approval of a release: of the cutover, for values with which Cilium owns the CNI of every node, otherwise of
 * the plan. A rollback of all nodes returns to the values of the coexistence without one.
 * @throws ApprovalMissing, ApprovalsUnverifiable
 */
async function requireApprovedValues(connection: ClusterConnection, values: HelmValues): Promise<void> {
  if (connection.approvals !== 'authenticated') return;
  if (ownsCni(values)) return requireApproval(connection, 'cutover');
  if (!(await isRollingBack(connection))) await requireApproval(connection, 'plan');
}

/** Returns the values of Cilium's release; none when there is no release. */
export async function releaseValues(clusters: Clusters, helm: HelmSettings, cluster: string): Promise<HelmValues> {
  const scope = await buildScope(clusters, cluster);
  if ((await readHistory(helm, scope)).length === 0) return {};
  return (JSON.parse(await runHelm(helm, ['get', 'values', ciliumRelease, '-o', 'json', ...scope])) ??
    {}) as HelmValues;
}

/**
 * Runs a server-side dry run of the release; nothing is changed.
 * @throws HelmFailed when the API server refuses it.
 * @throws UnexpectedChart when the chart has another digest than required.
 */
export async function dryRunRelease(clusters: Clusters, helm: HelmSettings, target: ReleaseTarget): Promise<void> {
  const scope = await buildScope(clusters, target.cluster);
  await withChart(helm, target, async ({ path }) => {
    const args = ['upgrade', '--install', ciliumRelease, path, ...scope, '--values', '-'];
    await runHelm(helm, [...args, '--reset-values', '--dry-run=server'], JSON.stringify(target.values));
  });
}

async function buildScope(clusters: Clusters, cluster: string): Promise<string[]> {
  const { file, context } = await clusters.kubeconfigOf(cluster);
  const contextArguments = context === undefined ? [] : ['--kube-context', context];
  return ['--namespace', ciliumNamespace, '--kubeconfig', file, ...contextArguments];
}

async function readHistory(helm: HelmSettings, scope: readonly string[]): Promise<Revision[]> {
  try {
    return JSON.parse(await runHelm(helm, ['history', ciliumRelease, '-o', 'json', ...scope])) as Revision[];
  } catch (error) {
    if (error instanceof ApplicationFailure && error.message.includes('release: not found')) return [];
    throw error;
  }
}

/**
 * Waits for a Helm process that may be working on the release.
 * @throws HelmFailed when there are always new ones.
 */
async function waitForOtherHelm(
  helm: HelmSettings,
  scope: readonly string[]
): Promise<Exclude<ReleasePlan, { action: 'wait' }>> {
  return poll(
    async () => {
      const plan = planRelease(await readHistory(helm, scope), Date.now());
      return plan.action === 'wait'
        ? { waitingFor: `revision ${plan.revision} of the release, which is pending` }
        : { done: plan };
    },
    { timeoutMs: 300_000, intervalMs: 2_000, onTimeout: 'HelmFailed', advice: 'see "helm history cilium"' }
  );
}

/** Deletes Helm's own record of a revision (helm.sh/helm pkg/storage/driver/secrets.go). */
async function forgetRevision({ core }: ClusterConnection, revision: number): Promise<void> {
  const name = `sh.helm.release.v1.${ciliumRelease}.v${revision}`;
  await ifFound(core.deleteNamespacedSecret({ name, namespace: ciliumNamespace }));
}
