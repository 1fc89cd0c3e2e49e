import type { KubernetesObject } from '@kubernetes/client-node';
import { memoizePerPod } from './flows.ts';
import { parseSelector, expressionMatches, renameKeys, type Expression } from './selectors.ts';

/** One end of a Calico rule. */
export interface EntityRule {
  nets?: readonly string[];
  notNets?: readonly string[];
  selector?: string;
  notSelector?: string;
  namespaceSelector?: string;
  serviceAccounts?: { names?: readonly string[]; selector?: string };
  ports?: readonly (number | string)[];
  notPorts?: readonly (number | string)[];
  services?: { name?: string; namespace?: string };
}

/** A Calico rule (projectcalico/api, v3/networkpolicy.go). */
export interface CalicoRule {
  action: 'Allow' | 'Deny' | 'Log' | 'Pass';
  protocol?: string | number;
  notProtocol?: string | number;
  ipVersion?: number;
  icmp?: { type?: number; code?: number };
  notICMP?: { type?: number; code?: number };
  source?: EntityRule;
  destination?: EntityRule;
  http?: object;
}

/** Calico's NetworkPolicy or GlobalNetworkPolicy, as stored. */
export type CalicoPolicy = KubernetesObject & {
  kind?: 'NetworkPolicy' | 'GlobalNetworkPolicy';
  spec?: {
    tier?: string;
    order?: number;
    selector?: string;
    namespaceSelector?: string;
    serviceAccountSelector?: string;
    types?: readonly ('Ingress' | 'Egress')[];
    ingress?: readonly CalicoRule[];
    egress?: readonly CalicoRule[];
    doNotTrack?: boolean;
    preDNAT?: boolean;
    applyOnForward?: boolean;
  };
};

/** A NetworkSet or GlobalNetworkSet. */
export type NetworkSet = KubernetesObject & { spec?: { nets?: readonly string[] } };

/** Names of labels that Calico adds (projectcalico/api, v3/constants.go; libcalico-go conversion/constants.go). */
const namespaceName = 'projectcalico.org/namespace';
const accountName = 'projectcalico.org/serviceaccount';
const namespacePrefix = 'pcns.';
const accountPrefix = 'pcsa.';

/** Names of protocols by number. */
const protocolNames: Readonly<Record<number, string>> = {
  1: 'ICMP',
  6: 'TCP',
  17: 'UDP',
  58: 'ICMPV6',
  132: 'SCTP',
  136: 'UDPLITE',
};

/** Returns the upper-case name of a protocol, or its number when it has no name. */
export function protocolName(protocol: string | number): string {
  const number = Number(protocol);
  return Number.isInteger(number) ? (protocolNames[number] ?? String(number)) : String(protocol).toUpperCase();
}

/** Returns the directions that a Calico policy applies to; when it does not list them, they follow from its rules. */
export function calicoTypes({ spec }: CalicoPolicy): readonly ('Ingress' | 'Egress')[] {
  if (spec?.types !== undefined && spec.types.length > 0) return spec.types;
  const egress = (spec?.egress ?? []).length > 0;
  const ingress = (spec?.ingress ?? []).length > 0;
  return [...(ingress || !egress ? (['Ingress'] as const) : []), ...(egress ? (['Egress'] as const) : [])];
}

/** Labels of a pod as Calico's selectors see them. */
export const calicoLabels = memoizePerPod((pod) => {
  const labels: Record<string, string> = {
    ...pod.labels,
    [namespaceName]: pod.namespace,
    [accountName]: pod.serviceAccount,
    'projectcalico.org/orchestrator': 'k8s',
    [`${namespacePrefix}projectcalico.org/name`]: pod.namespace,
    [`${accountPrefix}projectcalico.org/name`]: pod.serviceAccount,
  };
  for (const [key, value] of Object.entries(pod.namespaceLabels)) labels[namespacePrefix + key] = value;
  for (const [key, value] of Object.entries(pod.serviceAccountLabels)) labels[accountPrefix + key] = value;
  return labels;
});

/** Builds the expression that selects the pods of a policy. */
export function subjectExpression({ metadata, spec }: CalicoPolicy): Expression {
  const parts: Expression[] = [parseSelector(spec?.selector ?? '')];
  if (metadata?.namespace !== undefined) parts.push(inNamespace(metadata.namespace));
  const { namespaceSelector, serviceAccountSelector } = spec ?? {};
  if (isPresent(namespaceSelector)) parts.push(parseNamespaceSelector(namespaceSelector));
  if (isPresent(serviceAccountSelector)) {
    parts.push(renameKeys(parseSelector(serviceAccountSelector), (key) => accountPrefix + key));
  }
  return { is: 'and', of: parts };
}

/**
 * Builds the expression for one end of a rule, from its label selectors; undefined when it has none (libcalico-go
 * backend/syncersv1/updateprocessors/rules.go, getEndpointSelector).
 */
export function entityExpression(rule: EntityRule, policyNamespace: string | undefined): Expression | undefined {
  const parts: Expression[] = [];
  const { selector, notSelector, namespaceSelector } = rule;
  const { selector: accounts, names = [] } = rule.serviceAccounts ?? {};
  if (isPresent(accounts)) parts.push(renameKeys(parseSelector(accounts), (key) => accountPrefix + key));
  if (names.length > 0) parts.push({ is: 'in', key: accountName, values: names });
  if (isPresent(selector)) parts.push(parseSelector(selector));
  if (parts.length === 0 && !isPresent(namespaceSelector) && !isPresent(notSelector)) return undefined;
  if (isPresent(namespaceSelector)) parts.push(parseNamespaceSelector(namespaceSelector));
  else if (policyNamespace !== undefined) parts.push(inNamespace(policyNamespace));
  return parts.length === 0 ? undefined : { is: 'and', of: parts };
}

/** Returns true for a selector that is present; an empty selector counts as missing. */
export function isPresent(selector: string | undefined): selector is string {
  return selector !== undefined && selector !== '';
}

function inNamespace(name: string): Expression {
  return { is: 'in', key: namespaceName, values: [name] };
}

/** Parses a selector of namespaces: "all()" selects every pod, "global()" none. */
function parseNamespaceSelector(selector: string): Expression {
  const expression = renameKeys(parseSelector(selector), (key) => namespacePrefix + key);
  return { is: 'and', of: [expression.is === 'global' ? { is: 'not', of: hasNamespace } : hasNamespace, expression] };
}

const hasNamespace: Expression = { is: 'has', key: namespaceName };

/** Returns the networks of the sets that an expression selects. */
export function selectNetworks(expression: Expression, sets: readonly NetworkSet[]): string[] {
  return sets.flatMap(({ metadata, spec }) => {
    const labels: Record<string, string> = { ...metadata?.labels };
    if (metadata?.namespace !== undefined) {
      labels[namespaceName] = metadata.namespace;
      labels[`${namespacePrefix}projectcalico.org/name`] = metadata.namespace;
    }
    return expressionMatches(expression, labels) ? [...(spec?.nets ?? [])] : [];
  });
}
