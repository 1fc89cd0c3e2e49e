import { contains } from '../../../model/networks.ts';
import { matchesSelector } from '../../kubernetes/label-selectors.ts';
import {
  calicoLabels,
  calicoTypes,
  entityExpression,
  isGiven,
  netsOf,
  protocolName,
  subjectExpression,
  type CalicoPolicy,
  type CalicoRule,
  type EntityRule,
  type NetworkSet,
} from './calico-policy.ts';
import {
  asSeen,
  destinationOf,
  directions,
  perSubject,
  policyKey,
  portMatches,
  type Direction,
  type Flow,
  type Judge,
  type Judgement,
  type Peer,
  type PodEnd,
  type Traffic,
} from './flows.ts';
import {
  isAbout,
  kubernetesPort,
  podPeer,
  rulesOf,
  typesOf,
  type NetworkPolicy,
  type PolicyPeer,
  type PolicyPort,
} from './kubernetes.ts';
import { parseSelector, selects, type Expression } from './selectors.ts';

/** Order that Calico gives Kubernetes' NetworkPolicies (libcalico-go conversion.go). */
const kubernetesOrder = 1_000;

interface Evaluated {
  key: string;
  tier: string;
  order: number;
  applies: (pod: PodEnd, direction: Direction) => boolean;
  rules: (direction: Direction) => {
    action: CalicoRule['action'];
    matches: (flow: Flow) => boolean;
    /** Returns true when the rule applies to this peer, for any traffic. */
    about: (peer: Peer) => boolean;
  }[];
}

/** All policies that Felix enforces: Calico's own and Kubernetes'. */
export interface CalicoPolicies {
  own: readonly CalicoPolicy[];
  kubernetes: readonly NetworkPolicy[];
  sets: readonly NetworkSet[];
}

/**
 * Evaluates flows as Calico does (docs.tigera.io, "Policy rules" and "Tiers"; felix/rules of v3.28). The policies that
 * select the pod apply in their order, and the first matching rule decides. When policies select the pod and no rule
 * matches, the flow is denied.
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
    // Felix allows a node to reach its own pods, regardless of policies (felix/rules: output of the host is not
    // policed).
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
    const to = destinationOf(flow);
    const from = to === flow.peer ? flow.subject : flow.peer;
    return (
      rule.ipVersion !== 6 &&
      protocolMatches(rule, flow.traffic) &&
      portsMatch(rule.destination ?? {}, flow.traffic, to) &&
      source(from) &&
      destination(to)
    );
  };
  return { matches, about: direction === 'ingress' ? source : destination };
}

function protocolMatches({ protocol, notProtocol, icmp, notICMP }: CalicoRule, traffic: Traffic): boolean {
  if (protocol !== undefined && protocolName(protocol) !== traffic.protocol) return false;
  if (notProtocol !== undefined && protocolName(notProtocol) === traffic.protocol) return false;
  if (icmp?.type !== undefined && icmp.type !== traffic.icmpType) return false;
  return notICMP?.type === undefined || notICMP.type !== traffic.icmpType;
}

function portsMatch({ ports = [], notPorts = [] }: EntityRule, traffic: Traffic, to: Peer): boolean {
  if (ports.length > 0 && !ports.some((port) => portMatches(port, traffic, to))) return false;
  return !notPorts.some((port) => portMatches(port, traffic, to));
}

function endMatcher(
  rule: EntityRule,
  namespace: string | undefined,
  sets: readonly NetworkSet[]
): (end: Peer) => boolean {
  const expression = entityExpression(rule, namespace);
  const not = isGiven(rule.notSelector) ? parseSelector(rule.notSelector) : undefined;
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

/**
 * Converts a NetworkPolicy as Calico does (libcalico-go conversion.go, K8sNetworkPolicyToCalico): an ipBlock matches
 * any address.
 */
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
