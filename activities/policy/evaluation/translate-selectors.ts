import type { LabelSelector } from '../../kubernetes/label-selectors.ts';
import { namespaceLabelPrefix, podNamespaceLabel, serviceAccountLabel, sourcePrefix } from './cilium.ts';
import { alternatives, type Expression, type Requirement } from './selectors.ts';
import { Untranslatable } from './untranslatable.ts';

/** A Calico label as Cilium's selectors name it. */
function ciliumKey(key: string): string {
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
 * An expression of Calico's as selectors of Cilium's, of which one has to match.
 * @param own namespace that goes without saying.
 * @throws Untranslatable
 */
export function translateSelector(expression: Expression, what: string, own?: string): LabelSelector[] {
  const found = alternatives(expression);
  if (found === undefined) throw new Untranslatable(`${what} compares parts of values, or has too many alternatives`);
  return found.map((requirements) => {
    const written = requirements.map(({ key, ...rest }) => ({ ...rest, key: ciliumKey(key) }));
    const isOwn = ({ key, operator, values }: Requirement): boolean =>
      own !== undefined && key === sourcePrefix + podNamespaceLabel && operator === 'In' && values?.[0] === own;
    const selector = written.filter((requirement) => !isOwn(requirement));
    return selector.length === 0 ? {} : { matchExpressions: selector };
  });
}
