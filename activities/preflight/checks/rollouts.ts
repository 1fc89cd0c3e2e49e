import type { V1Deployment } from '@kubernetes/client-node';
import { summarizeList } from '../../../model/summarize.ts';
import { isRolledOut } from '../../kubernetes/daemon-sets.ts';
import { isKeptOffNewNodes } from '../../canal/node-restriction.ts';
import { ciliumNamespace } from '../../kubernetes/names.ts';
import { block, pass, warn, worst, type PreflightCheck } from '../check.ts';
import { objectKey } from '../../kubernetes/object-key.ts';

/** Checks that no rollout is in progress. */
export const rollouts: PreflightCheck = {
  ensures: 'Canal runs on every node in its current version, and no rollout in kube-system is in progress.',
  verdicts: 'Blocks when Canal is not rolled out; warns about other DaemonSets and Deployments in kube-system.',
  fix: 'Wait for the rollout, or repair what blocks it.',
  rationale: 'Existing problems would surface during the migration.',
  run: async ({ canal, daemonSets, deployments }) => {
    const source = await canal();
    const broken = source !== undefined && !isKeptOffNewNodes(source) && !isRolledOut(source.daemonSet);
    const others = [
      ...(await daemonSets())
        .filter(
          (daemonSet) => daemonSet.metadata?.namespace === ciliumNamespace && daemonSet.metadata.name !== source?.name
        )
        .filter((daemonSet) => (daemonSet.status?.desiredNumberScheduled ?? 0) > 0 && !isRolledOut(daemonSet)),
      ...(await deployments()).filter(
        (deployment) => deployment.metadata?.namespace === ciliumNamespace && !isComplete(deployment)
      ),
    ];
    return worst(
      broken
        ? block(`${source.namespace}/${source.name} is not rolled out on every node`)
        : pass(source === undefined ? 'Canal is not installed' : 'Canal is rolled out'),
      others.length > 0 ? warn(`not rolled out: ${summarizeList(others.map(objectKey))}`) : pass()
    );
  },
};

function isComplete({ metadata, spec, status }: V1Deployment): boolean {
  const replicas = spec?.replicas ?? 1;
  const { observedGeneration = 0, updatedReplicas = 0, availableReplicas = 0 } = status ?? {};
  if (observedGeneration < (metadata?.generation ?? 0)) return false;
  return updatedReplicas >= replicas && availableReplicas >= replicas;
}
