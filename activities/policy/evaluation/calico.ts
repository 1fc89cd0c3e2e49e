import type { KubernetesObject } from '@kubernetes/client-node';
import { contains } from '../../../model/networks.ts';
import { matchesSelector, type LabelSelector } from '../../kubernetes/label-selectors.ts';
import {
  asSeen,
  directions,
  destinationOf,
  oncePerPod,
  type Direction,
  type Flow,
  type Judge,
  type Judgement,
  type Peer,
  type PodEnd,
  type Traffic,
} from './flows.ts';
import { isAbout, rulesOf, typesOf, type NetworkPolicy, type PolicyPeer, type PolicyPort } from './kubernetes.ts';
import { parseSelector, selects, withKeys, type Expression } from './selectors.ts';

/** One end of a rule of Calico's. */
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

/** A rule of Calico's (projectcalico/api, v3/networkpolicy.go). */
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

/** Order at which Calico has Kubernetes' NetworkPolicies (libcalico-go conversion.go). */
const kubernetesOrder = 1_000;

/** Protocols by number, where they have a name of their own. */
const protocolNames: Readonly<Record<number, string>> = {
  1: 'ICMP',
  6: 'TCP',
  17: 'UDP',
  58: 'ICMPV6',
  132: 'SCTP',
  136: 'UDPLITE',
};

/** A protocol by its upper-case name. */
export function protocolName(protocol: string | number): string {
  const number = Number(protocol);
  return Number.isInteger(number) ? (protocolNames[number] ?? String(number)) : String(protocol).toUpperCase();
}

/** The key of a policy: kind, namespace and name. */
export function policyKey({ kind, metadata }: KubernetesObject): string {
  const { namespace, name = '' } = metadata ?? {};
  return `${kind ?? ''} ${namespace === undefined ? name : `${namespace}/${name}`}`;
}

/** Directions that a policy of Calico's is about; what is not said follows from the rules it has. */
export function calicoTypes({ spec }: CalicoPolicy): readonly ('Ingress' | 'Egress')[] {
  if (spec?.types !== undefined && spec.types.length > 0) return spec.types;
  const egress = (spec?.egress ?? []).length > 0;
  const ingress = (spec?.ingress ?? []).length > 0;
  return [...(ingress || !egress ? (['Ingress'] as const) : []), ...(egress ? (['Egress'] as const) : [])];
}

/** Labels of a pod as Calico's selectors see them. */
export const calicoLabels = oncePerPod((pod) => {
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

/** Whom a policy is about. */
export function subjectExpression({ metadata, spec }: CalicoPolicy): Expression {
  const parts: Expression[] = [parseSelector(spec?.selector ?? '')];
  if (metadata?.namespace !== undefined) parts.push(inNamespace(metadata.namespace));
  if (spec?.namespaceSelector !== undefined && spec.namespaceSelector !== '') {
    parts.push(namespaces(spec.namespaceSelector));
  }
  if (spec?.serviceAccountSelector !== undefined && spec.serviceAccountSelector !== '') {
    parts.push(withKeys(parseSelector(spec.serviceAccountSelector), (key) => accountPrefix + key));
  }
  return { is: 'and', of: parts };
}

/**
 * Whom one end of a rule is about, as far as it says so by labels; undefined when it does not
 * (libcalico-go backend/syncersv1/updateprocessors/rules.go, getEndpointSelector).
 */
export function entityExpression(rule: EntityRule, policyNamespace: string | undefined): Expression | undefined {
  const parts: Expression[] = [];
  if (rule.serviceAccounts?.selector !== undefined && rule.serviceAccounts.selector !== '') {
    parts.push(withKeys(parseSelector(rule.serviceAccounts.selector), (key) => accountPrefix + key));
  }
  const names = rule.serviceAccounts?.names ?? [];
  if (names.length > 0) parts.push({ is: 'in', key: accountName, values: names });
  if (rule.selector !== undefined && rule.selector !== '') parts.push(parseSelector(rule.selector));
  const byNamespace = rule.namespaceSelector !== undefined && rule.namespaceSelector !== '';
  if (parts.length === 0 && !byNamespace && (rule.notSelector ?? '') === '') return undefined;
  if (byNamespace) parts.push(namespaces(rule.namespaceSelector ?? ''));
  else if (policyNamespace !== undefined) parts.push(inNamespace(policyNamespace));
  return parts.length === 0 ? undefined : { is: 'and', of: parts };
}

function inNamespace(name: string): Expression {
  return { is: 'in', key: namespaceName, values: [name] };
}

/** A selector of namespaces: "all()" is every pod, "global()" none. */
function namespaces(selector: string): Expression {
  const expression = withKeys(parseSelector(selector), (key) => namespacePrefix + key);
  return { is: 'and', of: [expression.is === 'global' ? { is: 'not', of: hasNamespace } : hasNamespace, expression] };
}

const hasNamespace: Expression = { is: 'has', key: namespaceName };

/** Whether a port, a range `from:to` or a name stands for the destination port of a flow. */
export function portMatches(port: number | string, { port: sent, protocol }: Traffic, destination: Peer): boolean {
  if (sent === undefined) return false;
  if (typeof port === 'number') return port === sent;
  const [first, last] = port.split(':').map(Number);
  if (first !== undefined && Number.isInteger(first)) return first <= sent && sent <= (last ?? first);
  return (
    destination.kind === 'pod' &&
    destination.ports.some((one) => one.name === port && one.port === sent && one.protocol === protocol)
  );
}

interface Evaluated {
  key: string;
  tier: string;
  order: number;
  applies: (pod: PodEnd, direction: Direction) => boolean;
  rules: (direction: Direction) => {
    action: CalicoRule['action'];
    matches: (flow: Flow) => boolean;
    /** Whether the other end is one that the rule is about, whatever is sent. */
    about: (peer: Peer) => boolean;
  }[];
}

/** All policies that Felix enforces: Calico's own, and Kubernetes'. */
export interface CalicoPolicies {
  own: readonly CalicoPolicy[];
  kubernetes: readonly NetworkPolicy[];
  sets: readonly NetworkSet[];
}

/**
 * How Calico judges (docs.tigera.io, "Policy rules" and "Tiers"; felix/rules of v3.28): the policies about the pod in
 * their order; the first rule that matches decides; where policies are about the pod and no rule matches, it is denied.
 */
export function calicoJudge(policies: CalicoPolicies): Judge {
  const evaluated = [
    ...policies.own.map((policy) => ownPolicy(policy, policies.sets)),
    ...policies.kubernetes.map(kubernetesPolicy),
  ].sort((a, b) => compare(a.tier, b.tier) || a.order - b.order || compare(a.key, b.key));
  const tiers = [...new Set(evaluated.map(({ tier }) => tier))];
  const about = perSubject((subject, direction) =>
    tiers.map((tier) => evaluated.filter((one) => one.tier === tier && one.applies(subject, direction)))
  );
  const judge = (asked: Flow): Judgement => {
    const flow = asSeen(asked, 'calico');
    // Felix lets a node reach its own pods, whatever policies say (felix/rules: output of the host is not policed).
    if (flow.direction === 'ingress' && flow.peer.kind === 'node' && flow.peer.own) return { allowed: true, by: [] };
    for (const applying of about(flow)) {
      if (applying.length === 0) continue;
      const decided = firstMatch(applying, flow);
      if (decided === undefined) return { allowed: false, by: applying.map(({ key }) => key) };
      if (decided.action !== 'Pass') return { allowed: decided.action === 'Allow', by: [decided.key] };
    }
    return { allowed: true, by: [] };
  };
  const any: Traffic = { protocol: '' };
  const applying = (subject: PodEnd, direction: Direction, peer: Peer): Evaluated[] =>
    about({ subject, direction, peer, traffic: any }).flat();
  return {
    judge,
    subjectKey: (pod) => directions.map((one) => keys(applying(pod, one, pod))).join('/'),
    peerKey: (subject, direction, peer) => {
      const { peer: seen } = asSeen({ subject, direction, peer, traffic: any }, 'calico');
      return applying(subject, direction, peer)
        .flatMap(({ rules }) => rules(direction).map((rule) => (rule.about(seen) ? '1' : '0')))
        .join('');
    },
  };
}

function keys(policies: readonly Evaluated[]): string {
  return policies.map(({ key }) => key).join(',');
}

/** What follows from a flow's pod and direction alone, found out once for each. */
export function perSubject<T>(find: (subject: PodEnd, direction: Direction) => T): (flow: Flow) => T {
  const known = {
    ingress: oncePerPod((pod) => find(pod, 'ingress')),
    egress: oncePerPod((pod) => find(pod, 'egress')),
  };
  return ({ subject, direction }) => known[direction](subject);
}

function firstMatch(
  policies: readonly Evaluated[],
  flow: Flow
): { key: string; action: CalicoRule['action'] } | undefined {
  for (const { key, rules } of policies) {
    const rule = rules(flow.direction).find(({ action, matches }) => action !== 'Log' && matches(flow));
    if (rule !== undefined) return { key, action: rule.action };
  }
  return undefined;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function ownPolicy(policy: CalicoPolicy, sets: readonly NetworkSet[]): Evaluated {
  const { metadata, spec } = policy;
  const subject = subjectExpression(policy);
  const types = calicoTypes(policy);
  const compiled = (direction: Direction) =>
    (spec?.[direction] ?? []).map((rule) => ({
      action: rule.action,
      ...ruleMatcher(rule, direction, metadata?.namespace, sets),
    }));
  const rules = { ingress: compiled('ingress'), egress: compiled('egress') };
  return {
    key: policyKey(policy),
    tier: spec?.tier ?? 'default',
    order: spec?.order ?? Infinity,
    applies: (pod, direction) => isAbout(types, direction) && selects(subject, calicoLabels(pod)),
    rules: (direction) => rules[direction],
  };
}

function ruleMatcher(
  rule: CalicoRule,
  direction: Direction,
  namespace: string | undefined,
  sets: readonly NetworkSet[]
): { matches: (flow: Flow) => boolean; about: (peer: Peer) => boolean } {
  const source = endMatcher(rule.source ?? {}, namespace, sets);
  const destination = endMatcher(rule.destination ?? {}, namespace, sets);
  const matches = (flow: Flow): boolean => {
    const { traffic } = flow;
    const to = destinationOf(flow);
    const from = to === flow.peer ? flow.subject : flow.peer;
    if (rule.ipVersion === 6) return false;
    if (rule.protocol !== undefined && protocolName(rule.protocol) !== traffic.protocol) return false;
    if (rule.notProtocol !== undefined && protocolName(rule.notProtocol) === traffic.protocol) return false;
    if (rule.icmp?.type !== undefined && rule.icmp.type !== traffic.icmpType) return false;
    if (rule.notICMP?.type !== undefined && rule.notICMP.type === traffic.icmpType) return false;
    const { ports = [], notPorts = [] } = rule.destination ?? {};
    if (ports.length > 0 && !ports.some((port) => portMatches(port, traffic, to))) return false;
    if (notPorts.some((port) => portMatches(port, traffic, to))) return false;
    return source(from) && destination(to);
  };
  return { matches, about: direction === 'ingress' ? source : destination };
}

function endMatcher(
  rule: EntityRule,
  namespace: string | undefined,
  sets: readonly NetworkSet[]
): (end: Peer) => boolean {
  const expression = entityExpression(rule, namespace);
  const not = (rule.notSelector ?? '') === '' ? undefined : parseSelector(rule.notSelector ?? '');
  const nets = expression === undefined ? [] : netsOf(expression, sets);
  const notNets = not === undefined ? [] : netsOf(not, sets);
  const labelled = (end: Peer, by: Expression, members: readonly string[]): boolean =>
    (end.kind === 'pod' && selects(by, calicoLabels(end))) || members.some((cidr) => contains(cidr, end.address));
  return (end) => {
    if (expression !== undefined && !labelled(end, expression, nets)) return false;
    if (not !== undefined && labelled(end, not, notNets)) return false;
    if ((rule.nets ?? []).length > 0 && rule.nets?.some((cidr) => contains(cidr, end.address)) !== true) return false;
    return rule.notNets?.some((cidr) => contains(cidr, end.address)) !== true;
  };
}

/** The networks of the sets that an expression selects. */
export function netsOf(expression: Expression, sets: readonly NetworkSet[]): string[] {
  return sets.flatMap(({ metadata, spec }) => {
    const labels: Record<string, string> = { ...metadata?.labels };
    if (metadata?.namespace !== undefined) {
      labels[namespaceName] = metadata.namespace;
      labels[`${namespacePrefix}projectcalico.org/name`] = metadata.namespace;
    }
    return selects(expression, labels) ? [...(spec?.nets ?? [])] : [];
  });
}

/** A NetworkPolicy as Calico has it (libcalico-go conversion.go, K8sNetworkPolicyToCalico): ipBlock is about any address. */
function kubernetesPolicy(policy: NetworkPolicy): Evaluated {
  const { metadata, spec } = policy;
  const namespace = metadata?.namespace ?? '';
  const types = typesOf(policy);
  const compiled = (peers: readonly PolicyPeer[], ports: readonly PolicyPort[]) => {
    const about = (end: Peer): boolean =>
      peers.length === 0 || peers.some((peer) => kubernetesPeer(peer, namespace, end));
    return {
      action: 'Allow' as const,
      matches: (flow: Flow) =>
        (ports.length === 0 || ports.some((port) => kubernetesPort(port, flow))) && about(flow.peer),
      about,
    };
  };
  const compiledOf = (direction: Direction) =>
    rulesOf(policy, direction).map(({ peers, ports }) => compiled(peers, ports));
  const rules = { ingress: compiledOf('ingress'), egress: compiledOf('egress') };
  return {
    key: policyKey(policy),
    tier: 'default',
    order: kubernetesOrder,
    applies: (pod, direction) =>
      isAbout(types, direction) && pod.namespace === namespace && matchesSelector(spec.podSelector ?? {}, pod.labels),
    rules: (direction) => rules[direction],
  };
}

function kubernetesPeer({ podSelector, namespaceSelector, ipBlock }: PolicyPeer, own: string, peer: Peer): boolean {
  if (ipBlock !== undefined) {
    return (
      contains(ipBlock.cidr, peer.address) && ipBlock.except?.some((cidr) => contains(cidr, peer.address)) !== true
    );
  }
  return peer.kind === 'pod' && podPeer(podSelector, namespaceSelector, own, peer);
}

/** Whether a pod is one that a rule of a NetworkPolicy selects by labels. */
export function podPeer(
  podSelector: LabelSelector | undefined,
  namespaceSelector: LabelSelector | undefined,
  own: string,
  pod: PodEnd
): boolean {
  const there =
    namespaceSelector === undefined
      ? pod.namespace === own
      : matchesSelector(namespaceSelector, { 'kubernetes.io/metadata.name': pod.namespace, ...pod.namespaceLabels });
  return there && matchesSelector(podSelector ?? {}, pod.labels);
}

/** Whether a port of a NetworkPolicy's rule stands for the flow's. */
export function kubernetesPort({ protocol = 'TCP', port, endPort }: PolicyPort, flow: Flow): boolean {
  if (protocol !== flow.traffic.protocol) return false;
  if (port === undefined) return true;
  const wanted = endPort === undefined ? port : `${port}:${endPort}`;
  return portMatches(wanted, flow.traffic, destinationOf(flow));
}
