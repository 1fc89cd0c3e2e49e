import { summarizeList } from '../../../model/summarize.ts';
import { unlessEmpty, type PreflightCheck } from '../check.ts';
import { objectKey } from '../../kubernetes/object-key.ts';

/** Parts of the names and images of programs that add and remove nodes. */
const nameParts = ['cluster-autoscaler', 'karpenter'];

/** Checks that no program may remove a node in the middle of its migration. */
export const autoscaler: PreflightCheck = {
  ensures: 'No node autoscaler runs: neither cluster-autoscaler nor Karpenter.',
  verdicts: 'Blocks when one runs in the cluster. An autoscaler outside the cluster is not detected.',
  fix: "Scale it to 0 for the duration of the migration, or waive this check: nodes that join are migrated, and nodes that leave are dropped. Nodes that join after the cutover need the CNI plugins that Canal's file chains in their image.",
  rationale: 'An autoscaler considers a drained node unneeded and removes it.',
  run: async ({ deployments }) => {
    const autoscalers = (await deployments()).filter(({ metadata, spec }) => {
      const texts = [metadata?.name ?? '', ...(spec?.template.spec?.containers ?? []).map(({ image = '' }) => image)];
      return (spec?.replicas ?? 1) > 0 && texts.some((text) => nameParts.some((part) => text.includes(part)));
    });
    return unlessEmpty(
      'block',
      autoscalers.length > 0 ? [summarizeList(autoscalers.map(objectKey))] : [],
      'none runs in the cluster'
    );
  },
};
