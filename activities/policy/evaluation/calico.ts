import { matchesSelector } from '../../kubernetes/label-selectors.ts';
import { contains } from './addresses.ts';
import {
  calicoLabels,
  calicoTypes,
  entityExpression,
  isPresent,
  selectNetworks,
  protocolName,
  subjectExpression,
  type CalicoPolicy,
  type CalicoRule,
  type EntityRule,
  type NetworkSet,
} from './calico-policy.ts';
import {
  asSeenBy,
  findDestination,
  directions,
  indexByNamespace,
  memoizePerSubject,
  peerSeenBy,
  policyKey,
  portMatches,
  type Direction,
  type Flow,
  type PeerTest,
  type PolicyEvaluator,
  type Verdict,
  type Peer,
  type PodEnd,
  type Traffic,
} from './flows.ts';
import {
  createPeerTest,
  includesDirection,
  policyPortMatches,
  podMatchesPeer,
  networkPolicyRules,
  listPolicyTypes,
  type NetworkPolicy,
  type PolicyPeer,
  type PolicyPort,
} from './kubernetes.ts';
import { parseSelector, expressionMatches, type Expression } from './selectors.ts';

/** Order that Calico gives Kubernetes' NetworkPolicies (libcalico-go conversion.go). */
const kubernetesOrder = 1_000;

interface CompiledPolicy {
  key: string;
  /** The namespace whose pods the policy selects; undefined for a policy that can select all. */
  namespace: string | undefined;
  tier: string;
  order: number;
  applies: (pod: PodEnd, direction: Direction) => boolean;
  rules: (direction: Direction) => {
    action: CalicoRule['action'];
    matches: (flow: Flow) => boolean;
    peerTest: PeerTest;
  }[];
}

/** All policies that Felix enforces: Calico's own and Kubernetes'. */
export interface CalicoPolicies {
  calico: readonly CalicoPolicy[];
  kubernetes: readonly NetworkPolicy[];
  sets: readonly NetworkSet[];
}

/**
 * Evaluates flows as Calico does (docs.tigera.io, "Policy rules" and "Tiers"; felix/rules of v3.28). The policies that
 * select the pod apply in their order, and the first matching rule decides. When policies select the pod and no rule
 * matches, the flow is denied.
 */
export function createCalicoEvaluator(policies: CalicoPolicies): PolicyEvaluator {
  const evaluated = [
    ...policies.calico.map((policy) => compileCalicoPolicy(policy, policies.sets)),
    ...policies.kubernetes.map(compileNetworkPolicy),
  ].sort((a, b) => compareText(a.tier, b.tier) || a.order - b.order || compareText(a.key, b.key));
  const tiers = [...new Set(evaluated.map(({ tier }) => tier))];
  const candidates = indexByNamespace(evaluated);
  const policiesByTier = memoizePerSubject((subject, direction) => {
    const applying = candidates(subject.namespace).filter((policy) => policy.applies(subject, direction));
    return tiers.map((tier) => applying.filter((policy) => policy.tier === tier));
  });
  const evaluate = (originalFlow: Flow): Verdict => {
    const flow = asSeenBy(originalFlow, 'canal');
    // Felix allows a node to reach its own pods, regardless of policies (felix/rules: output of the host is not
    // policed).
    if (flow.direction === 'ingress' && flow.peer.kind === 'node' && flow.peer.local) return { allowed: true, by: [] };
    for (const policies of policiesByTier(flow)) {
      if (policies.length === 0) continue;
      const match = findFirstMatch(policies, flow);
      if (match === undefined) return { allowed: false, by: policies.map(({ key }) => key) };
      if (match.action !== 'Pass') return { allowed: match.action === 'Allow', by: [match.key] };
    }
    return { allowed: true, by: [] };
  };
  const anyTraffic: Traffic = { protocol: '' };
  const applyingPolicies = (subject: PodEnd, direction: Direction): CompiledPolicy[] =>
    policiesByTier({ subject, direction, peer: subject, traffic: anyTraffic }).flat();
  return {
    evaluate,
    subjectKey: (pod) => directions.map((direction) => joinKeys(applyingPolicies(pod, direction))).join('/'),
    peerTests: (subject, direction) =>
      applyingPolicies(subject, direction).flatMap(({ rules }) => rules(direction).map(({ peerTest }) => peerTest)),
  };
}

function joinKeys(policies: readonly CompiledPolicy[]): string {
  return policies.map(({ key }) => key).join(',');
}

function findFirstMatch(
  policies: readonly CompiledPolicy[],
  flow: Flow
): { key: string; action: CalicoRule['action'] } | undefined {
  for (const { key, rules } of policies) {
    const rule = rules(flow.direction).find(({ action, matches }) => action !== 'Log' && matches(flow));
    if (rule !== undefined) return { key, action: rule.action };
  }
  return undefined;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function compileCalicoPolicy(policy: CalicoPolicy, sets: readonly NetworkSet[]): CompiledPolicy {
  const { metadata, spec } = policy;
  const subject = subjectExpression(policy);
  const types = calicoTypes(policy);
  const compileRules = (direction: Direction) =>
    (spec?.[direction] ?? []).map((rule) => ({
      action: rule.action,
      ...createRuleMatcher(rule, direction, metadata?.namespace, sets),
    }));
  const rules = { ingress: compileRules('ingress'), egress: compileRules('egress') };
  return {
    key: policyKey(policy),
    namespace: metadata?.namespace,
    tier: spec?.tier ?? 'default',
    order: spec?.order ?? Infinity,
    applies: (pod, direction) => includesDirection(types, direction) && expressionMatches(subject, calicoLabels(pod)),
    rules: (direction) => rules[direction],
  };
}

function createRuleMatcher(
  rule: CalicoRule,
  direction: Direction,
  namespace: string | undefined,
  sets: readonly NetworkSet[]
): { matches: (flow: Flow) => boolean; peerTest: PeerTest } {
  const source = createEndpointMatcher(rule.source ?? {}, namespace, sets);
  const destination = createEndpointMatcher(rule.destination ?? {}, namespace, sets);
  const matches = (flow: Flow): boolean => {
    const to = findDestination(flow);
    const from = to === flow.peer ? flow.subject : flow.peer;
    return (
      rule.ipVersion !== 6 &&
      protocolMatches(rule, flow.traffic) &&
      portsMatch(rule.destination ?? {}, flow.traffic, to) &&
      source(from) &&
      destination(to)
    );
  };
  const matchesPeer = direction === 'ingress' ? source : destination;
  return { matches, peerTest: { matches: (peer) => matchesPeer(peerSeenBy(peer, direction, 'canal')) } };
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

function createEndpointMatcher(
  rule: EntityRule,
  namespace: string | undefined,
  sets: readonly NetworkSet[]
): (end: Peer) => boolean {
  const expression = entityExpression(rule, namespace);
  const not = isPresent(rule.notSelector) ? parseSelector(rule.notSelector) : undefined;
  const nets = expression === undefined ? [] : selectNetworks(expression, sets);
  const notNets = not === undefined ? [] : selectNetworks(not, sets);
  const matchesLabels = (end: Peer, by: Expression, members: readonly string[]): boolean =>
    (end.kind === 'pod' && expressionMatches(by, calicoLabels(end))) ||
    members.some((cidr) => contains(cidr, end.address));
  return (end) => {
    if (expression !== undefined && !matchesLabels(end, expression, nets)) return false;
    if (not !== undefined && matchesLabels(end, not, notNets)) return false;
    if ((rule.nets ?? []).length > 0 && rule.nets?.some((cidr) => contains(cidr, end.address)) !== true) return false;
    return rule.notNets?.some((cidr) => contains(cidr, end.address)) !== true;
  };
}

/**
 * Converts a NetworkPolicy as Calico does (libcalico-go conversion.go, K8sNetworkPolicyToCalico): an ipBlock matches
 * any address.
 */
function compileNetworkPolicy(policy: NetworkPolicy): CompiledPolicy {
  const { metadata, spec } = policy;
  const namespace = metadata?.namespace ?? '';
  const types = listPolicyTypes(policy);
  const compileRule = (direction: Direction, peers: readonly PolicyPeer[], ports: readonly PolicyPort[]) => {
    const matchesPeer = (end: Peer): boolean =>
      peers.length === 0 || peers.some((peer) => policyPeerMatches(peer, namespace, end));
    return {
      action: 'Allow' as const,
      matches: (flow: Flow) =>
        (ports.length === 0 || ports.some((port) => policyPortMatches(port, flow))) && matchesPeer(flow.peer),
      peerTest: createPeerTest('canal', direction, namespace, peers, matchesPeer),
    };
  };
  const compileRules = (direction: Direction) =>
    networkPolicyRules(policy, direction).map(({ peers, ports }) => compileRule(direction, peers, ports));
  const rules = { ingress: compileRules('ingress'), egress: compileRules('egress') };
  return {
    key: policyKey(policy),
    namespace,
    tier: 'default',
    order: kubernetesOrder,
    applies: (pod, direction) =>
      includesDirection(types, direction) &&
      pod.namespace === namespace &&
      matchesSelector(spec.podSelector ?? {}, pod.labels),
    rules: (direction) => rules[direction],
  };
}

function policyPeerMatches(
  { podSelector, namespaceSelector, ipBlock }: PolicyPeer,
  policyNamespace: string,
  peer: Peer
): boolean {
  if (ipBlock !== undefined) {
    return (
      contains(ipBlock.cidr, peer.address) && ipBlock.except?.some((cidr) => contains(cidr, peer.address)) !== true
    );
  }
  return peer.kind === 'pod' && podMatchesPeer(podSelector, namespaceSelector, policyNamespace, peer);
}
