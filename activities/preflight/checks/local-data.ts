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
    'No pod that has to move keeps data in an emptyDir without consent, or on a disk of its node without a way back.',
  verdicts:
    'Blocks for pods with emptyDir volumes and no consent; warns for pods with local volumes when nodes are drained before they are flipped: such a pod waits until its node is schedulable again.',
  fix: 'Consent with drain.deleteEmptyDirData, where the data may be lost. For local volumes, choose drain.mode "recycle", which has pods come straight back.',
  rationale: 'An eviction deletes an emptyDir, and a pod with a local volume can run on its node alone.',
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
        : pass('no data would be lost without consent'),
      bound.length > 0 && input.drain.mode === 'evict'
        ? warn(
            `bound to their node by local volumes: ${summarizeList(bound.map(({ key, node }) => `${key} on ${node}`))}`
          )
        : pass()
    );
  },
};
