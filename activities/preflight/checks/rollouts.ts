import type { V1Deployment } from '@kubernetes/client-node';
import { summarizeList } from '../../../model/summarize.ts';
import { isRolledOut } from '../../kubernetes/daemon-sets.ts';
import { ciliumNamespace } from '../../kubernetes/names.ts';
import { block, pass, warn, worst, type PreflightCheck } from '../check.ts';
import { objectKey } from '../../kubernetes/object-key.ts';

/** Checks that no rollout is in progress. */
export const rollouts: PreflightCheck = {
  ensures: 'Canal runs on every node in its current version, and nothing of the system is in the middle of a rollout.',
  verdicts: 'Blocks when Canal is not rolled out; warns for other DaemonSets and Deployments of kube-system.',
  fix: 'Wait for the rollout, or mend what holds it up.',
  rationale: 'What is broken before the migration would be found during it.',
  run: async ({ canal, daemonSets, deployments }) => {
    const source = await canal();
    const broken = source !== undefined && !isRolledOut(source.daemonSet);
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
        : pass('nothing is being rolled out'),
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
