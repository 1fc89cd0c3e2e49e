import type { KubernetesObject } from '@kubernetes/client-node';
import { summarizeList } from '../../../model/summarize.ts';
import { consents } from '../../node/drain-rules.ts';
import { block, pass, warn, worst, type PreflightCheck } from '../check.ts';

type Volume = KubernetesObject & {
  spec?: { local?: object; hostPath?: object; claimRef?: { namespace?: string; name?: string } };
};

/** Checks that no pod would lose data on its node by moving. */
export const localData: PreflightCheck = {
  ensures:
    'No pod that is evicted keeps data in an emptyDir volume without consent, or in a local volume of a node to which it cannot return.',
  verdicts:
    'Blocks for pods with emptyDir volumes and no consent; warns about pods with local volumes if nodes are drained before they are flipped: such a pod is Pending until its node is schedulable again.',
  fix: 'Consent with drain.deleteEmptyDirData if the data may be lost. For local volumes, choose drain.mode "recycle", in which pods return to their node immediately.',
  rationale:
    'An eviction deletes emptyDir volumes, and a pod with a local volume can only run on the node of the volume.',
  run: async ({ input, pods, list }) => {
    const moving = (await pods()).filter(({ hostNetwork, finished, mirror }) => !hostNetwork && !finished && !mirror);
    const lost = moving.filter(
      (pod) =>
        pod.emptyDirs.length > 0 && pod.controller !== 'DaemonSet' && !consents(input.drain.deleteEmptyDirData, pod)
    );
    const volumes = await list<Volume>('v1', 'PersistentVolume');
    const local = new Set(
      volumes
        .filter(({ spec }) => spec?.local !== undefined || spec?.hostPath !== undefined)
        .map(({ spec }) => `${spec?.claimRef?.namespace}/${spec?.claimRef?.name}`)
    );
    const bound = moving.filter(({ namespace, claims }) => claims.some((claim) => local.has(`${namespace}/${claim}`)));
    return worst(
      lost.length > 0
        ? block(
            `emptyDir data would be lost: ${summarizeList(lost.map(({ key, emptyDirs }) => `${key} (${emptyDirs.join(', ')})`))}`
          )
        : pass('no emptyDir data would be lost without consent'),
      bound.length > 0 && input.drain.mode === 'evict'
        ? warn(
            `bound to their node by local volumes: ${summarizeList(bound.map(({ key, node }) => `${key} on ${node}`))}`
          )
        : pass()
    );
  },
};
