import type { V1LabelSelector, V1PodDisruptionBudget } from '@kubernetes/client-node';
import type { PodFacts } from './pods.ts';

/** Those of a namespace's budgets that are about the pod. */
export function budgetsOf(pod: PodFacts, budgets: readonly V1PodDisruptionBudget[]): V1PodDisruptionBudget[] {
  return budgets.filter(
    ({ metadata, spec }) => metadata?.namespace === pod.namespace && selects(spec?.selector, pod.labels)
  );
}

/** What a budget allows just now, in words. */
export function budgetText({ metadata, status }: V1PodDisruptionBudget): string {
  const { disruptionsAllowed = 0, currentHealthy = 0, desiredHealthy = 0 } = status ?? {};
  return (
    `PodDisruptionBudget ${metadata?.namespace}/${metadata?.name} allows ${disruptionsAllowed} disruptions ` +
    `(${currentHealthy} pods are healthy, ${desiredHealthy} are needed)`
  );
}

/**
 * Whether a label selector matches, as the API server sees it: an empty one matches all, none matches nothing
 * (k8s.io/api policy/v1 PodDisruptionBudgetSpec).
 */
export function selects(selector: V1LabelSelector | undefined, labels: Readonly<Record<string, string>>): boolean {
  if (selector === undefined) return false;
  const exact = Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value);
  const expressions = selector.matchExpressions ?? [];
  return (
    exact &&
    expressions.every(({ key, operator, values = [] }) => {
      const value = labels[key];
      switch (operator) {
        case 'In':
          return value !== undefined && values.includes(value);
        case 'NotIn':
          return value === undefined || !values.includes(value);
        case 'Exists':
          return value !== undefined;
        case 'DoesNotExist':
          return value === undefined;
        default:
          return false;
      }
    })
  );
}
