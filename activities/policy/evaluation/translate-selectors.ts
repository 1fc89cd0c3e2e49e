import type { LabelSelector } from '../../kubernetes/label-selectors.ts';
import { namespaceLabelPrefix, podNamespaceLabel, serviceAccountLabel, sourcePrefix } from './cilium.ts';
import { alternatives, type Expression, type Requirement } from './selectors.ts';
import { Untranslatable } from './untranslatable.ts';

/** Returns a Calico label in the form of Cilium's selectors. */
function toCiliumKey(key: string): string {
  if (key === 'projectcalico.org/namespace' || key === 'pcns.projectcalico.org/name')
    return sourcePrefix + podNamespaceLabel;
  if (key === 'projectcalico.org/serviceaccount' || key === 'pcsa.projectcalico.org/name') {
    return sourcePrefix + serviceAccountLabel;
  }
  if (key.startsWith('pcns.')) return sourcePrefix + namespaceLabelPrefix + key.slice('pcns.'.length);
  if (key.startsWith('pcsa.')) throw new Untranslatable('it selects by labels of service accounts');
  if (key.startsWith('projectcalico.org/')) throw new Untranslatable(`it selects by ${key}`);
  return sourcePrefix + key;
}

/**
 * Translates a Calico expression to Cilium selectors, of which one has to match.
 * @param subjectName name of the expression's place, for messages.
 * @param ownNamespace namespace that the selectors need not name.
 * @throws Untranslatable when Cilium has no equivalent.
 */
export function translateSelector(expression: Expression, subjectName: string, ownNamespace?: string): LabelSelector[] {
  const requirementSets = alternatives(expression);
  if (requirementSets === undefined)
    throw new Untranslatable(`${subjectName} matches parts of label values, or has too many alternatives`);
  return requirementSets.map((requirements) => {
    const ciliumRequirements = requirements.map(({ key, ...rest }) => ({ ...rest, key: toCiliumKey(key) }));
    const isOwn = ({ key, operator, values }: Requirement): boolean =>
      ownNamespace !== undefined &&
      key === sourcePrefix + podNamespaceLabel &&
      operator === 'In' &&
      values?.[0] === ownNamespace;
    const selector = ciliumRequirements.filter((requirement) => !isOwn(requirement));
    return selector.length === 0 ? {} : { matchExpressions: selector };
  });
}
