import { summarizeList } from '../../../model/summarize.ts';
import { consents } from '../../node/drain-rules.ts';
import { unlessEmpty, type PreflightCheck } from '../check.ts';

/** Checks that every pod would be recreated after its eviction. */
export const unmanagedPods: PreflightCheck = {
  ensures: 'Every pod that is evicted has a controller that recreates it, or there is consent to its removal.',
  verdicts: 'Blocks for pods without a controller and without consent.',
  fix: 'Run them under a controller, or consent with drain.evictUnmanagedPods.',
  rationale: 'Nothing recreates an evicted pod without a controller (kubectl drain refuses such pods too).',
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
    return unlessEmpty('block', problems, 'every pod has a controller or consent');
  },
};
