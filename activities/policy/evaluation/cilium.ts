import type { KubernetesObject } from '@kubernetes/client-node';
import { matchesSelector, type LabelSelector } from '../../kubernetes/label-selectors.ts';
import { contains } from './addresses.ts';
import {
  asSeenBy,
  findDestination,
  indexByNamespace,
  memoizePerPod,
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
} from './flows.ts';
import { isIdentityLabel } from './identity-labels.ts';
import {
  createPeerTest,
  includesDirection,
  policyPortMatches,
  podMatchesPeer,
  networkPolicyRules,
  listPolicyTypes,
  type NetworkPolicy,
  type PolicyPeer,
} from './kubernetes.ts';

/** Cilium's own labels, without their source (pkg/k8s/apis/cilium.io/const.go). */
export const podNamespaceLabel = 'io.kubernetes.pod.namespace';
export const namespaceLabelPrefix = 'io.cilium.k8s.namespace.labels.';
export const serviceAccountLabel = 'io.cilium.k8s.policy.serviceaccount';
/** Prefix of a selector's key that marks a Kubernetes label. */
export const sourcePrefix = 'k8s:';

/** Entities that a rule can name. */
export type Entity = 'all' | 'world' | 'host' | 'remote-node' | 'cluster';

/** Ports and ICMP types of a rule. */
export interface CiliumPorts {
  ports: { port: string; endPort?: number; protocol: string }[];
}

/** A Cilium rule, for either direction: `from…` and `to…` are equivalent here. */
export interface CiliumRule {
  fromEndpoints?: LabelSelector[];
  toEndpoints?: LabelSelector[];
  fromEntities?: Entity[];
  toEntities?: Entity[];
  fromCIDRSet?: { cidr: string; except?: string[] }[];
  toCIDRSet?: { cidr: string; except?: string[] }[];
  toPorts?: CiliumPorts[];
  icmps?: { fields: { type: number; family: 'IPv4' }[] }[];
}

/** The part of CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy that translations use. */
export type CiliumPolicy = KubernetesObject & {
  kind: 'CiliumNetworkPolicy' | 'CiliumClusterwideNetworkPolicy';
  spec: {
    endpointSelector: LabelSelector;
    enableDefaultDeny?: { ingress: boolean; egress: boolean };
    ingress?: CiliumRule[];
    egress?: CiliumRule[];
    ingressDeny?: CiliumRule[];
    egressDeny?: CiliumRule[];
    description?: string;
  };
};

/** Policies that Cilium enforces. */
export interface CiliumPolicies {
  cilium: readonly CiliumPolicy[];
  kubernetes: readonly NetworkPolicy[];
}

/** The CIDR of all addresses. */
export const allAddresses = '0.0.0.0/0';

interface CompiledPolicy {
  key: string;
  /** The namespace whose pods the policy selects; undefined for a policy that can select all. */
  namespace: string | undefined;
  applies: (pod: PodEnd) => boolean;
  /** Returns true when the policy enables default deny for the direction. */
  enablesDefaultDeny: (direction: Direction) => boolean;
  matches: (flow: Flow, verdict: 'allow' | 'deny') => boolean;
  /** Tests of the peers of each rule. */
  peerTests: Readonly<Record<Direction, readonly PeerTest[]>>;
}

/**
 * Evaluates flows as Cilium does (Documentation/security/policy of v1.20). Policies have no order: a flow that any
 * policy denies is denied; otherwise, a flow that any policy allows is allowed. Other flows are denied when a policy
 * enables default deny for the pod. A node can always reach its own pods.
 */
export function createCiliumEvaluator(policies: CiliumPolicies): PolicyEvaluator {
  const evaluated = [...policies.kubernetes.map(compileNetworkPolicy), ...policies.cilium.map(compileCiliumPolicy)];
  const candidates = indexByNamespace(evaluated);
  const policiesFor = memoizePerPod((pod) => candidates(pod.namespace).filter((policy) => policy.applies(pod)));
  const evaluate = (originalFlow: Flow): Verdict => {
    const flow = asSeenBy(originalFlow, 'cilium');
    const { direction, peer } = flow;
    if (direction === 'ingress' && peer.kind === 'node' && peer.local) return { allowed: true, by: [] };
    const applying = policiesFor(flow.subject);
    const policyKeys = (list: readonly CompiledPolicy[]): string[] => list.map(({ key }) => key);
    const denying = applying.filter((policy) => policy.matches(flow, 'deny'));
    if (denying.length > 0) return { allowed: false, by: policyKeys(denying) };
    const allowing = applying.filter((policy) => policy.matches(flow, 'allow'));
    if (allowing.length > 0) return { allowed: true, by: policyKeys(allowing) };
    const denyingByDefault = applying.filter((policy) => policy.enablesDefaultDeny(direction));
    return { allowed: denyingByDefault.length === 0, by: policyKeys(denyingByDefault) };
  };
  return {
    evaluate,
    subjectKey: (pod) =>
      policiesFor(pod)
        .map(({ key }) => key)
        .join(','),
    peerTests: (subject, direction) => policiesFor(subject).flatMap(({ peerTests }) => peerTests[direction]),
  };
}

/** Returns a pod with only those labels that are part of its Cilium identity. */
const withIdentityLabels = memoizePerPod((pod): PodEnd => ({
  ...pod,
  labels: Object.fromEntries(Object.entries(pod.labels).filter(([key]) => isIdentityLabel(key))),
}));

/** Returns the labels of a pod as Cilium's selectors see them. */
export const ciliumLabels = memoizePerPod((pod) => {
  const labels: Record<string, string> = {
    ...withIdentityLabels(pod).labels,
    [podNamespaceLabel]: pod.namespace,
    [serviceAccountLabel]: pod.serviceAccount,
  };
  for (const [key, value] of Object.entries({ 'kubernetes.io/metadata.name': pod.namespace, ...pod.namespaceLabels })) {
    labels[namespaceLabelPrefix + key] = value;
  }
  return labels;
});

function compileCiliumPolicy(policy: CiliumPolicy): CompiledPolicy {
  const { metadata, spec } = policy;
  const { namespace } = metadata ?? {};
  const rulesWith = (direction: Direction, verdict: 'allow' | 'deny'): readonly CiliumRule[] =>
    (verdict === 'allow' ? spec[direction] : spec[`${direction}Deny`]) ?? [];
  const createTests = (direction: Direction): PeerTest[] =>
    [...rulesWith(direction, 'allow'), ...rulesWith(direction, 'deny')].map((rule) => ({
      matches: (peer) => ruleMatchesPeer(rule, peerSeenBy(peer, direction, 'cilium'), namespace),
    }));
  return {
    key: policyKey(policy),
    namespace,
    applies: (pod) =>
      (namespace === undefined || pod.namespace === namespace) && endpointMatches(spec.endpointSelector, pod),
    enablesDefaultDeny: (direction) =>
      (spec.enableDefaultDeny?.[direction] ?? true) &&
      [...rulesWith(direction, 'allow'), ...rulesWith(direction, 'deny')].length > 0,
    matches: (flow, verdict) => rulesWith(flow.direction, verdict).some((rule) => ruleMatches(rule, flow, namespace)),
    peerTests: { ingress: createTests('ingress'), egress: createTests('egress') },
  };
}

function ruleMatches(rule: CiliumRule, flow: Flow, namespace: string | undefined): boolean {
  const { peer, traffic } = flow;
  const destination = findDestination(flow);
  const ports = rule.toPorts?.some((portList) =>
    portList.ports.some(({ port, endPort, protocol }) => {
      if (protocol !== traffic.protocol && protocol !== 'ANY') return false;
      if (port === '0') return true;
      const number = Number(port);
      const portRange = Number.isInteger(number) ? (endPort === undefined ? number : `${port}:${endPort}`) : port;
      return portMatches(portRange, traffic, destination);
    })
  );
  const icmps = rule.icmps?.some(({ fields }) =>
    fields.some(({ type }) => traffic.protocol === 'ICMP' && type === traffic.icmpType)
  );
  return (ports ?? true) && (icmps ?? true) && ruleMatchesPeer(rule, peer, namespace);
}

function ruleMatchesPeer(rule: CiliumRule, peer: Peer, namespace: string | undefined): boolean {
  const { endpoints, entities, cidrs } = rulePeers(rule);
  // An empty rule matches nothing and only enables default deny; a rule with ports only matches any peer.
  if ([endpoints, entities, cidrs].every((end) => end === undefined)) {
    return rule.toPorts !== undefined || rule.icmps !== undefined;
  }
  return (
    (endpoints?.some((selector) => peer.kind === 'pod' && selectorMatchesPod(selector, peer, namespace)) ?? false) ||
    (entities?.some((entity) => isEntity(entity, peer)) ?? false) ||
    (cidrs?.some(({ cidr, except = [] }) => cidrMatches(cidr, except, peer)) ?? false)
  );
}

/** Returns the peers that a rule names, for either direction. */
function rulePeers(rule: CiliumRule) {
  return {
    endpoints: rule.fromEndpoints ?? rule.toEndpoints,
    entities: rule.fromEntities ?? rule.toEntities,
    cidrs: rule.fromCIDRSet ?? rule.toCIDRSet,
  };
}

/**
 * Returns true when the selector matches the pod, within the policy's own namespace unless the selector names another.
 */
function selectorMatchesPod(selector: LabelSelector, pod: PodEnd, namespace: string | undefined): boolean {
  const keys = [
    ...Object.keys(selector.matchLabels ?? {}),
    ...(selector.matchExpressions ?? []).map(({ key }) => key),
  ].map((key) => key.replace(sourcePrefix, ''));
  const elsewhere = keys.some((key) => key === podNamespaceLabel || key.startsWith(namespaceLabelPrefix));
  return (namespace === undefined || elsewhere || pod.namespace === namespace) && endpointMatches(selector, pod);
}

function endpointMatches({ matchLabels = {}, matchExpressions = [] }: LabelSelector, pod: PodEnd): boolean {
  const plain = (key: string): string => key.replace(sourcePrefix, '');
  return matchesSelector(
    {
      matchLabels: Object.fromEntries(Object.entries(matchLabels).map(([key, value]) => [plain(key), value])),
      matchExpressions: matchExpressions.map((requirement) => ({ ...requirement, key: plain(requirement.key) })),
    },
    ciliumLabels(pod)
  );
}

function isEntity(entity: Entity, peer: Peer): boolean {
  switch (entity) {
    case 'all':
      return true;
    case 'world':
      return peer.kind === 'world';
    case 'cluster':
      return peer.kind !== 'world';
    case 'host':
      return peer.kind === 'node' && peer.local;
    case 'remote-node':
      return peer.kind === 'node' && !peer.local;
  }
}

/**
 * Returns true when a CIDR matches the peer. CIDRs match the world and, because the migration sets `policyCIDRMatchMode`
 * to "nodes", nodes; they never match pods (layer3.rst, "CIDR based"). 0.0.0.0/0 never matches nodes
 * (cilium/cilium#47827).
 */
function cidrMatches(cidr: string, except: readonly string[], peer: Peer): boolean {
  if (peer.kind === 'pod') return false;
  if (peer.kind === 'node' && cidr === allAddresses) return false;
  return contains(cidr, peer.address) && !except.some((excluded) => contains(excluded, peer.address));
}

function compileNetworkPolicy(policy: NetworkPolicy): CompiledPolicy {
  const { metadata, spec } = policy;
  const namespace = metadata?.namespace ?? '';
  const types = listPolicyTypes(policy);
  const appliesTo = (direction: Direction): boolean => includesDirection(types, direction);
  const policyPeerMatches = ({ podSelector, namespaceSelector, ipBlock }: PolicyPeer, peer: Peer): boolean =>
    ipBlock === undefined
      ? peer.kind === 'pod' && podMatchesPeer(podSelector, namespaceSelector, namespace, withIdentityLabels(peer))
      : cidrMatches(ipBlock.cidr, ipBlock.except ?? [], peer);
  const anyPeerMatches = (peers: readonly PolicyPeer[], peer: Peer): boolean =>
    peers.length === 0 || peers.some((policyPeer) => policyPeerMatches(policyPeer, peer));
  const createTests = (direction: Direction): PeerTest[] =>
    networkPolicyRules(policy, direction).map(({ peers }) =>
      createPeerTest('cilium', direction, namespace, peers, (peer) => anyPeerMatches(peers, peer))
    );
  return {
    key: policyKey(policy),
    namespace,
    applies: (pod) =>
      pod.namespace === namespace && matchesSelector(spec.podSelector ?? {}, withIdentityLabels(pod).labels),
    enablesDefaultDeny: appliesTo,
    matches: (flow, verdict) =>
      verdict === 'allow' &&
      appliesTo(flow.direction) &&
      networkPolicyRules(policy, flow.direction).some(
        (rule) =>
          (rule.ports.length === 0 || rule.ports.some((port) => policyPortMatches(port, flow))) &&
          anyPeerMatches(rule.peers, flow.peer)
      ),
    peerTests: { ingress: createTests('ingress'), egress: createTests('egress') },
  };
}
