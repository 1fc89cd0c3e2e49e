import type { V1DaemonSet, V1Deployment } from '@kubernetes/client-node';
import { summarizeList } from '../../../model/summarize.ts';
import type { CanalInstallation } from '../../canal/detect.ts';
import { isKeptOffNewNodes } from '../../canal/node-restriction.ts';
import { isReady } from '../../kubernetes/conditions.ts';
import { isRolledOut, readRollout, type Rollout } from '../../kubernetes/daemon-sets.ts';
import { ciliumNamespace } from '../../kubernetes/names.ts';
import { block, pass, warn, worst, type Finding, type PreflightCheck } from '../check.ts';
import type { ClusterReader } from '../cluster-reader.ts';
import { objectKey } from '../../kubernetes/object-key.ts';

/** Checks that no rollout is in progress. */
export const rollouts: PreflightCheck = {
  ensures: 'Canal runs on every Ready node in its current version, and no rollout in kube-system is in progress.',
  verdicts:
    'Blocks when Canal is not rolled out on the Ready nodes; warns about other DaemonSets and Deployments in kube-system. Nodes that are not Ready are left out, and named.',
  fix: 'Wait for the rollout, or repair what blocks it.',
  rationale: 'Existing problems would surface during the migration.',
  run: async (cluster) => {
    const source = await cluster.canal();
    const others = await listOtherRollouts(cluster, source?.name);
    return worst(
      source === undefined ? pass('Canal is not installed') : await evaluateCanal(cluster, source),
      others.length > 0 ? warn(`not rolled out: ${summarizeList(others)}`) : pass()
    );
  },
};

/** Returns the DaemonSets and Deployments of kube-system, except Canal's, whose rollout is in progress. */
async function listOtherRollouts(cluster: ClusterReader, canalName: string | undefined): Promise<string[]> {
  const isSystem = ({ metadata }: V1DaemonSet | V1Deployment): boolean => metadata?.namespace === ciliumNamespace;
  const daemonSets = (await cluster.daemonSets()).filter(
    (daemonSet) => isSystem(daemonSet) && daemonSet.metadata?.name !== canalName
  );
  const inProgress: string[] = [];
  for (const daemonSet of daemonSets) {
    if (isRolledOut(daemonSet) || (daemonSet.status?.desiredNumberScheduled ?? 0) === 0) continue;
    if (!(await readOnReadyNodes(cluster, daemonSet)).complete) inProgress.push(objectKey(daemonSet));
  }
  const deployments = (await cluster.deployments()).filter(
    (deployment) => isSystem(deployment) && !isComplete(deployment)
  );
  return [...inProgress, ...deployments.map(objectKey)];
}

function readOnReadyNodes({ connection, nodes }: ClusterReader, daemonSet: V1DaemonSet): Promise<Rollout> {
  return readRollout(connection, daemonSet, { nodes, isLeftOut: (node) => !isReady(node) });
}

async function evaluateCanal(cluster: ClusterReader, canal: CanalInstallation): Promise<Finding> {
  // Its running pods then have an older template on purpose.
  if (isKeptOffNewNodes(canal)) return pass('Canal runs where it ran before the cutover');
  const { daemonSet } = canal;
  const { complete, waiting, leftOut } = await readOnReadyNodes(cluster, daemonSet);
  const missing = waiting.length === 0 ? 'on every node' : `on ${summarizeList(waiting)}`;
  if (!complete) return block(`${objectKey(daemonSet)} is not rolled out ${missing}`);
  if (leftOut.length === 0) return pass('Canal is rolled out');
  return pass(`Canal is rolled out; left out because they are not Ready: ${summarizeList(leftOut)}`);
}

function isComplete({ metadata, spec, status }: V1Deployment): boolean {
  const replicas = spec?.replicas ?? 1;
  const { observedGeneration = 0, updatedReplicas = 0, availableReplicas = 0 } = status ?? {};
  if (observedGeneration < (metadata?.generation ?? 0)) return false;
  return updatedReplicas >= replicas && availableReplicas >= replicas;
}
