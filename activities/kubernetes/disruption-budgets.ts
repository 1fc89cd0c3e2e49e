import type { V1LabelSelector, V1PodDisruptionBudget } from '@kubernetes/client-node';
import { matchesSelector } from './label-selectors.ts';
import type { PodFacts } from './pods.ts';

/** Returns those of a namespace's budgets that select the pod. */
export function findBudgets(pod: PodFacts, budgets: readonly V1PodDisruptionBudget[]): V1PodDisruptionBudget[] {
  return budgets.filter(
    ({ metadata, spec }) => metadata?.namespace === pod.namespace && optionalSelectorMatches(spec?.selector, pod.labels)
  );
}

/** Describes what a budget currently allows. */
export function budgetText({ metadata, status }: V1PodDisruptionBudget): string {
  const { disruptionsAllowed = 0, currentHealthy = 0, desiredHealthy = 0 } = status ?? {};
  return (
    `PodDisruptionBudget ${metadata?.namespace}/${metadata?.name} allows ${disruptionsAllowed} disruptions ` +
    `(healthy pods: ${currentHealthy}, required: ${desiredHealthy})`
  );
}

/**
 * Returns true when the selector of a budget or a webhook matches. A missing selector matches nothing (k8s.io/api
 * policy/v1 PodDisruptionBudgetSpec).
 */
export function optionalSelectorMatches(
  selector: V1LabelSelector | undefined,
  labels: Readonly<Record<string, string>>
): boolean {
  return selector !== undefined && matchesSelector(selector, labels);
}
