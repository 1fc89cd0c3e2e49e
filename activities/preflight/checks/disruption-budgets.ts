import type { V1PodDisruptionBudget } from '@kubernetes/client-node';
import { summarizeList } from '../../../model/summarize.ts';
import { budgetText, findBudgets, optionalSelectorMatches } from '../../kubernetes/disruption-budgets.ts';
import type { PodFacts } from '../../kubernetes/pods.ts';
import { block, pass, warn, worst, type PreflightCheck } from '../check.ts';
import { objectKey } from '../../kubernetes/object-key.ts';

/** Checks that every pod can eventually be evicted. */
export const disruptionBudgets: PreflightCheck = {
  ensures: 'No PodDisruptionBudget forbids evictions permanently, and no pod has two budgets.',
  verdicts:
    'Blocks for budgets that can never allow a disruption, and for pods with two budgets; warns about budgets that currently allow none.',
  fix: 'Give the workload one replica more than its budget requires, or change the budget. Leave each pod only one budget: the API server refuses evictions of pods with two.',
  rationale: 'The drain of the node would never finish.',
  run: async ({ budgets, pods }) => {
    const moving = (await pods()).filter(({ hostNetwork, finished, mirror }) => !hostNetwork && !finished && !mirror);
    const all = await budgets();
    const neverAllowing = all.filter((budget) => neverAllows(budget, selectedPods(budget, moving)));
    const blocking = all.filter(
      (budget) =>
        !neverAllowing.includes(budget) &&
        selectedPods(budget, moving).length > 0 &&
        budget.status?.disruptionsAllowed === 0
    );
    const podsWithTwoBudgets = moving.flatMap((pod) => {
      const podBudgets = findBudgets(pod, all);
      return podBudgets.length > 1 ? [`${pod.key} (${podBudgets.map(objectKey).join(', ')})`] : [];
    });
    return worst(
      neverAllowing.length > 0
        ? block(`never allow a disruption: ${summarizeList(neverAllowing.map(objectKey))}`)
        : pass(`all ${all.length} budgets can allow a disruption`),
      podsWithTwoBudgets.length > 0 ? block(`pods with two budgets: ${summarizeList(podsWithTwoBudgets)}`) : pass(),
      blocking.length > 0 ? warn(summarizeList(blocking.map(budgetText))) : pass()
    );
  },
};

function selectedPods({ metadata, spec }: V1PodDisruptionBudget, pods: readonly PodFacts[]): PodFacts[] {
  return pods.filter(
    (pod) => pod.namespace === metadata?.namespace && optionalSelectorMatches(spec?.selector, pod.labels)
  );
}

/** Returns true when a budget would allow no disruption even with every pod healthy. */
function neverAllows({ spec, status }: V1PodDisruptionBudget, pods: readonly PodFacts[]): boolean {
  if (pods.length === 0) return false;
  const expected = Math.max(status?.expectedPods ?? 0, pods.length);
  const share = (value: string | number): number =>
    typeof value === 'string' && value.endsWith('%')
      ? Math.ceil((Number.parseInt(value, 10) / 100) * expected)
      : Number(value);
  if (spec?.maxUnavailable !== undefined) return share(spec.maxUnavailable) === 0;
  return spec?.minAvailable !== undefined && share(spec.minAvailable) >= expected;
}
