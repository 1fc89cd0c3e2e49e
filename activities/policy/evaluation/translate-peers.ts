import type { LabelSelector } from '../../kubernetes/label-selectors.ts';
import { covers, overlap } from './addresses.ts';
import { entityExpression, isPresent, selectNetworks, type EntityRule, type NetworkSet } from './calico-policy.ts';
import {
  allAddresses,
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

/** Facts that translations depend on, in addition to the policies. */
export interface TranslationContext {
  sets: readonly NetworkSet[];
  /** All networks from which pods have or get addresses. */
  podCidrs: readonly string[];
  nodeAddresses: readonly string[];
}

const allPods: LabelSelector = {
  matchExpressions: [{ key: sourcePrefix + podNamespaceLabel, operator: 'Exists' }],
};

/** The peers of a Cilium rule. */
export type Peers = Pick<
  CiliumRule,
  'fromEndpoints' | 'toEndpoints' | 'fromEntities' | 'toEntities' | 'fromCIDRSet' | 'toCIDRSet'
>;

/**
 * Returns builders for the peers of a rule. Each result is a rule of its own: Cilium accepts one kind of peer per rule.
 */
function peerBuilders(direction: Direction): {
  endpoints: (list: LabelSelector[]) => Peers;
  entities: (list: Entity[]) => Peers;
  cidrs: (list: { cidr: string; except?: string[] }[]) => Peers;
} {
  const ingress = direction === 'ingress';
  return {
    endpoints: (list) => (ingress ? { fromEndpoints: list } : { toEndpoints: list }),
    entities: (list) => (ingress ? { fromEntities: list } : { toEntities: list }),
    cidrs: (list) => (ingress ? { fromCIDRSet: list } : { toCIDRSet: list }),
  };
}

/**
 * Translates the peer of a Calico rule to peers of Cilium rules.
 * @param conditions list to which the conditions of the translation are added.
 * @throws Untranslatable when Cilium has no equivalent.
 */
export function translatePeer(
  peer: EntityRule,
  direction: Direction,
  namespace: string | undefined,
  context: TranslationContext,
  conditions: string[]
): Peers[] {
  const expression = entityExpression(peer, namespace);
  const not = isPresent(peer.notSelector) ? parseSelector(peer.notSelector) : undefined;
  const { nets = [], notNets = [] } = peer;
  const byLabels = expression !== undefined || not !== undefined;
  const byAddress = nets.length > 0 || notNets.length > 0;
  if (byLabels && byAddress) throw new Untranslatable('a rule combines label selectors and networks');
  if (byAddress) return cidrPeers(nets, notNets, direction, context);
  if (!byLabels) return [peerBuilders(direction).entities(['all'])];
  return [
    ...podPeers(expression, not, direction),
    ...networkSetPeers(expression, direction, context, conditions),
    ...nonPodPeers(not, expression, direction, context),
  ];
}

function podPeers(expression: Expression | undefined, not: Expression | undefined, direction: Direction): Peers[] {
  const pods: Expression = {
    is: 'and',
    of: [
      ...(expression === undefined ? [] : [expression]),
      ...(not === undefined ? [] : [{ is: 'not', of: not } as const]),
    ],
  };
  const selectors = translateSelector(pods, 'a rule').map((selector) =>
    // A rule without a namespace matches pods of every namespace. Cilium's namespaced policies need an explicit
    // selector for that.
    hasNamespace(selector) ? selector : { matchExpressions: [...(selector.matchExpressions ?? []), ...anyNamespace] }
  );
  return selectors.length > 0 ? [peerBuilders(direction).endpoints(selectors)] : [];
}

function networkSetPeers(
  expression: Expression | undefined,
  direction: Direction,
  { sets, ...networks }: TranslationContext,
  conditions: string[]
): Peers[] {
  const members = expression === undefined ? [] : selectNetworks(expression, sets);
  if (members.length === 0) return [];
  conditions.push('the NetworkSets that it selects do not change');
  return cidrPeers(members, [], direction, networks);
}

/** Returns the peers other than pods: an exclusion by labels never excludes them. */
function nonPodPeers(
  not: Expression | undefined,
  expression: Expression | undefined,
  direction: Direction,
  { sets }: TranslationContext
): Peers[] {
  if (not === undefined) return [];
  if (selectNetworks(not, sets).length > 0) throw new Untranslatable('a rule excludes a NetworkSet');
  return expression === undefined ? [peerBuilders(direction).entities(['world', 'host', 'remote-node'])] : [];
}

const anyNamespace = allPods.matchExpressions ?? [];

function hasNamespace({ matchExpressions = [] }: LabelSelector): boolean {
  return matchExpressions.some(
    ({ key }) => key === sourcePrefix + podNamespaceLabel || key.startsWith(sourcePrefix + namespaceLabelPrefix)
  );
}

/**
 * Translates networks to CIDRs, which never match pods in Cilium. When a network contains all pods, the pods are added
 * as peers. When it contains some of them, Cilium has no equivalent, and the comparison reports the difference.
 */
function cidrPeers(
  nets: readonly string[],
  notNets: readonly string[],
  direction: Direction,
  networks: Networks
): Peers[] {
  const { cidrs } = peerBuilders(direction);
  const list = nets.length === 0 ? [allAddresses] : nets.filter((cidr) => !cidr.includes(':'));
  const sets = list.map((cidr) => {
    const except = notNets.filter((excluded) => covers(cidr, excluded));
    return { cidr, ...(except.length > 0 && { except }) };
  });
  const hasPartialOverlap = notNets.some((excluded) =>
    list.some((cidr) => overlap(cidr, excluded) && !covers(cidr, excluded))
  );
  if (hasPartialOverlap)
    throw new Untranslatable('a rule excludes a network that is not inside those that it includes');
  return [cidrs(sets), ...clusterPeers(list, notNets, direction, networks)];
}

/** The cluster's own networks. */
export type Networks = Omit<TranslationContext, 'sets'>;

/** Returns the peers for pods and nodes that are fully inside the networks, but that Cilium's CIDRs do not match. */
export function clusterPeers(
  nets: readonly string[],
  notNets: readonly string[],
  direction: Direction,
  { podCidrs, nodeAddresses }: Networks
): Peers[] {
  const { endpoints, entities } = peerBuilders(direction);
  const isIncluded = (network: string): boolean =>
    nets.some((cidr) => covers(cidr, network)) && !notNets.some((cidr) => overlap(cidr, network));
  return [
    ...(podCidrs.every(isIncluded) ? [endpoints([allPods])] : []),
    // Traffic of nodes comes from overlay addresses, which are pod addresses.
    ...(nets.includes(allAddresses) && (direction === 'ingress' ? podCidrs : nodeAddresses).every(isIncluded)
      ? [entities(['host', 'remote-node'])]
      : []),
  ];
}
