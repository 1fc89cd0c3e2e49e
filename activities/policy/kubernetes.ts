import type { KubernetesObject } from '@kubernetes/client-node';
import type { Requirement } from './selectors.ts';

/** A Kubernetes label selector. */
export interface LabelSelector {
  matchLabels?: Readonly<Record<string, string>>;
  matchExpressions?: readonly { key: string; operator: string; values?: readonly string[] }[];
}

/** Who is at the other end of a rule of a NetworkPolicy. */
export interface PolicyPeer {
  podSelector?: LabelSelector;
  namespaceSelector?: LabelSelector;
  ipBlock?: { cidr: string; except?: readonly string[] };
}

/** A port of a rule. */
export interface PolicyPort {
  /** @default TCP */
  protocol?: string;
  port?: number | string;
  endPort?: number;
}

/** Kubernetes' own NetworkPolicy. */
export type NetworkPolicy = KubernetesObject & {
  spec: {
    podSelector?: LabelSelector;
    policyTypes?: readonly string[];
    ingress?: readonly { from?: readonly PolicyPeer[]; ports?: readonly PolicyPort[] }[];
    egress?: readonly { to?: readonly PolicyPeer[]; ports?: readonly PolicyPort[] }[];
  };
};

/** A NetworkPolicy as the API has it: the client library calls the field `from` by another name. */
export function asWritten(policy: KubernetesObject): NetworkPolicy {
  const { spec } = policy as { spec?: NetworkPolicy['spec'] };
  const ingress = spec?.ingress?.map((rule) => {
    const { _from, ...rest } = rule as typeof rule & { _from?: readonly PolicyPeer[] };
    return _from === undefined ? rest : { ...rest, from: _from };
  });
  return { ...policy, spec: { ...spec, ...(ingress !== undefined && { ingress }) } };
}

/** Directions that a NetworkPolicy is about. */
export function typesOf({ spec }: NetworkPolicy): readonly string[] {
  return spec.policyTypes ?? ['Ingress', ...((spec.egress ?? []).length > 0 ? ['Egress'] : [])];
}

/** Whether labels are as a selector has it; one that is empty selects all. */
export function matchesSelector(
  { matchLabels = {}, matchExpressions = [] }: LabelSelector,
  labels: Readonly<Record<string, string>>
): boolean {
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labels[key];
      switch (operator) {
        case 'In':
          return value !== undefined && values.includes(value);
        case 'NotIn':
          return value === undefined || !values.includes(value);
        case 'Exists':
          return value !== undefined;
        default:
          return value === undefined;
      }
    })
  );
}

/** A selector as a list of requirements. */
export function requirementsOf({ matchLabels = {}, matchExpressions = [] }: LabelSelector): Requirement[] {
  return [
    ...Object.entries(matchLabels).map(([key, value]) => ({ key, operator: 'In' as const, values: [value] })),
    ...matchExpressions.map(({ key, operator, values }) => ({
      key,
      operator: operator as Requirement['operator'],
      ...(values !== undefined && { values: [...values] }),
    })),
  ];
}
