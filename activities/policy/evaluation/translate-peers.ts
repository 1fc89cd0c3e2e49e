import type { LabelSelector } from '../../kubernetes/label-selectors.ts';
import { covers, overlap } from './addresses.ts';
import { entityExpression, isGiven, netsOf, type EntityRule, type NetworkSet } from './calico-policy.ts';
import {
  everything,
  namespaceLabelPrefix,
  podNamespaceLabel,
  sourcePrefix,
  type CiliumRule,
  type Entity,
} from './cilium.ts';
import type { Direction } from './flows.ts';
import { parseSelector, type Expression } from './selectors.ts';
import { translateSelector } from './translate-selectors.ts';
import { Untranslatable } from './untranslatable.ts';

/** What translations depend on beside the policies. */
export interface TranslationContext {
  sets: readonly NetworkSet[];
  /** Every network that pods have or get addresses of. */
  podCidrs: readonly string[];
  nodeAddresses: readonly string[];
}

const allPods: LabelSelector = {
  matchExpressions: [{ key: sourcePrefix + podNamespaceLabel, operator: 'Exists' }],
};

/** Who is at the other end of a rule of Cilium's. */
export type Who = Pick<
  CiliumRule,
  'fromEndpoints' | 'toEndpoints' | 'fromEntities' | 'toEntities' | 'fromCIDRSet' | 'toCIDRSet'
>;

/** Ends of a rule, each to be a rule of its own: Cilium takes one kind of end in each. */
function ends(direction: Direction): {
  endpoints: (list: LabelSelector[]) => Who;
  entities: (list: Entity[]) => Who;
  cidrs: (list: { cidr: string; except?: string[] }[]) => Who;
} {
  const inward = direction === 'ingress';
  return {
    endpoints: (list) => (inward ? { fromEndpoints: list } : { toEndpoints: list }),
    entities: (list) => (inward ? { fromEntities: list } : { toEntities: list }),
    cidrs: (list) => (inward ? { fromCIDRSet: list } : { toCIDRSet: list }),
  };
}

/**
 * The other end of a rule, as rules of Cilium's.
 * @param conditions what has to hold for it is added here.
 * @throws Untranslatable
 */
export function translatePeer(
  peer: EntityRule,
  direction: Direction,
  namespace: string | undefined,
  context: TranslationContext,
  conditions: string[]
): Who[] {
  const expression = entityExpression(peer, namespace);
  const not = isGiven(peer.notSelector) ? parseSelector(peer.notSelector) : undefined;
  const { nets = [], notNets = [] } = peer;
  const byLabels = expression !== undefined || not !== undefined;
  const byAddress = nets.length > 0 || notNets.length > 0;
  if (byLabels && byAddress) throw new Untranslatable('a rule is about labels and addresses at once');
  if (byAddress) return byNetworks(nets, notNets, direction, context);
  if (!byLabels) return [ends(direction).entities(['all'])];
  return [
    ...podsOf(expression, not, direction),
    ...networkSetsOf(expression, direction, context, conditions),
    ...othersThan(not, expression, direction, context),
  ];
}

function podsOf(expression: Expression | undefined, not: Expression | undefined, direction: Direction): Who[] {
  const pods: Expression = {
    is: 'and',
    of: [
      ...(expression === undefined ? [] : [expression]),
      ...(not === undefined ? [] : [{ is: 'not', of: not } as const]),
    ],
  };
  const selectors = translateSelector(pods, 'a rule').map((selector) =>
    // A rule without a namespace is about pods of every namespace, and in Cilium's namespaced policies has to say so.
    hasNamespace(selector) ? selector : { matchExpressions: [...(selector.matchExpressions ?? []), ...exists] }
  );
  return selectors.length > 0 ? [ends(direction).endpoints(selectors)] : [];
}

function networkSetsOf(
  expression: Expression | undefined,
  direction: Direction,
  { sets, ...networks }: TranslationContext,
  conditions: string[]
): Who[] {
  const members = expression === undefined ? [] : netsOf(expression, sets);
  if (members.length === 0) return [];
  conditions.push('the NetworkSets that it selects stay as they are');
  return byNetworks(members, [], direction, networks);
}

/** Whoever is no pod is not selected by what is excluded. */
function othersThan(
  not: Expression | undefined,
  expression: Expression | undefined,
  direction: Direction,
  { sets }: TranslationContext
): Who[] {
  if (not === undefined) return [];
  if (netsOf(not, sets).length > 0) throw new Untranslatable('a rule is about all but a NetworkSet');
  return expression === undefined ? [ends(direction).entities(['world', 'host', 'remote-node'])] : [];
}

const exists = allPods.matchExpressions ?? [];

function hasNamespace({ matchExpressions = [] }: LabelSelector): boolean {
  return matchExpressions.some(
    ({ key }) => key === sourcePrefix + podNamespaceLabel || key.startsWith(sourcePrefix + namespaceLabelPrefix)
  );
}

/**
 * Networks as CIDRs, which in Cilium are never about pods: where a network holds all pods, they are named beside it; where
 * it holds some of them, nothing says the same, and the comparison tells.
 */
function byNetworks(
  nets: readonly string[],
  notNets: readonly string[],
  direction: Direction,
  networks: Networks
): Who[] {
  const { cidrs } = ends(direction);
  const list = nets.length === 0 ? [everything] : nets.filter((cidr) => !cidr.includes(':'));
  const sets = list.map((cidr) => {
    const except = notNets.filter((one) => covers(cidr, one));
    return { cidr, ...(except.length > 0 && { except }) };
  });
  const gone = notNets.some((one) => list.some((cidr) => overlap(cidr, one) && !covers(cidr, one)));
  if (gone) throw new Untranslatable('a rule excludes more than it includes');
  return [cidrs(sets), ...insiders(list, notNets, direction, networks)];
}

/** The cluster's own networks. */
export type Networks = Omit<TranslationContext, 'sets'>;

/** The pods and nodes that networks hold as a whole, and that Cilium does not count to them. */
export function insiders(
  nets: readonly string[],
  notNets: readonly string[],
  direction: Direction,
  { podCidrs, nodeAddresses }: Networks
): Who[] {
  const { endpoints, entities } = ends(direction);
  const whole = (network: string): boolean =>
    nets.some((cidr) => covers(cidr, network)) && !notNets.some((cidr) => overlap(cidr, network));
  return [
    ...(podCidrs.every(whole) ? [endpoints([allPods])] : []),
    // What nodes send comes from addresses of the overlays, which are among the pods'.
    ...(nets.includes(everything) && (direction === 'ingress' ? podCidrs : nodeAddresses).every(whole)
      ? [entities(['host', 'remote-node'])]
      : []),
  ];
}
