import { summarizeList } from '../../../model/summarize.ts';
import { consents } from '../../node/drain-rules.ts';
import { unlessEmpty, type PreflightCheck } from '../check.ts';

/** Checks that every pod would be recreated after its eviction. */
export const unmanagedPods: PreflightCheck = {
  ensures: 'Every pod that has to move has a controller that makes it anew, or there is consent that it goes.',
  verdicts: 'Blocks for pods without a controller and without consent.',
  fix: 'Have a controller run them, or consent with drain.evictUnmanagedPods.',
  rationale: 'An evicted pod without a controller is gone for good (kubectl drain refuses it too).',
  run: async ({ input, pods }) => {
    const lost = (await pods()).filter(
      (pod) =>
        !pod.hostNetwork &&
        !pod.finished &&
        !pod.mirror &&
        pod.controller === undefined &&
        !consents(input.drain.evictUnmanagedPods, pod) &&
        pod.labels['app.kubernetes.io/managed-by'] !== 'cni-live-migration'
    );
    const problems =
      lost.length > 0 ? [summarizeList(lost.map(({ key, node }) => `${key} on ${node || 'no node'}`))] : [];
    return unlessEmpty('block', problems, 'every pod has a controller, or consent');
  },
};
