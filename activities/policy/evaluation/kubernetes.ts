import type { KubernetesObject } from '@kubernetes/client-node';
import { matchesSelector, type LabelSelector } from '../../kubernetes/label-selectors.ts';
import type { Network } from '../../../model/network.ts';
import {
  findDestination,
  peerSeenBy,
  portMatches,
  type Direction,
  type Flow,
  type Peer,
  type PeerTest,
  type PodEnd,
} from './flows.ts';
import type { Requirement } from './selectors.ts';

/** The peer of a NetworkPolicy's rule. */
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

/** Returns a NetworkPolicy as the API defines it: the client library renames the field `from`. */
export function asWritten(policy: KubernetesObject): NetworkPolicy {
  const { spec } = policy as { spec?: NetworkPolicy['spec'] };
  const ingress = spec?.ingress?.map((rule) => {
    const { _from, ...rest } = rule as typeof rule & { _from?: readonly PolicyPeer[] };
    return _from === undefined ? rest : { ...rest, from: _from };
  });
  return { ...policy, spec: { ...spec, ...(ingress !== undefined && { ingress }) } };
}

/** Returns the directions that a NetworkPolicy applies to. */
export function listPolicyTypes({ spec }: NetworkPolicy): readonly string[] {
  return spec.policyTypes ?? ['Ingress', ...((spec.egress ?? []).length > 0 ? ['Egress'] : [])];
}

/** Returns true when a list of types, of a Kubernetes or Calico policy, contains a direction. */
export function includesDirection(types: readonly string[], direction: Direction): boolean {
  return types.includes(direction === 'ingress' ? 'Ingress' : 'Egress');
}

/** Returns the rules of one direction, with one name for the peers of either direction. */
export function networkPolicyRules(
  { spec }: NetworkPolicy,
  direction: Direction
): { peers: readonly PolicyPeer[]; ports: readonly PolicyPort[] }[] {
  return direction === 'ingress'
    ? (spec.ingress ?? []).map(({ from = [], ports = [] }) => ({ peers: from, ports }))
    : (spec.egress ?? []).map(({ to = [], ports = [] }) => ({ peers: to, ports }));
}

/** Returns a selector as a list of requirements. */
export function toRequirements({ matchLabels = {}, matchExpressions = [] }: LabelSelector): Requirement[] {
  return [
    ...Object.entries(matchLabels).map(([key, value]) => ({ key, operator: 'In' as const, values: [value] })),
    ...matchExpressions.map(({ key, operator, values }) => ({
      key,
      operator: operator as Requirement['operator'],
      ...(values !== undefined && { values: [...values] }),
    })),
  ];
}

/** Returns true when the label selectors of a NetworkPolicy's rule match the pod. */
export function podMatchesPeer(
  podSelector: LabelSelector | undefined,
  namespaceSelector: LabelSelector | undefined,
  policyNamespace: string,
  pod: PodEnd
): boolean {
  const inNamespace =
    namespaceSelector === undefined
      ? pod.namespace === policyNamespace
      : matchesSelector(namespaceSelector, { 'kubernetes.io/metadata.name': pod.namespace, ...pod.namespaceLabels });
  return inNamespace && matchesSelector(podSelector ?? {}, pod.labels);
}

/**
 * Creates the test of the peers of a NetworkPolicy's rule.
 * @param matches returns true when the rule applies to a peer as the network sees it. The result depends on nothing but
 * the peers of the rule, the namespace of the policy and the network.
 */
export function createPeerTest(
  network: Network,
  direction: Direction,
  policyNamespace: string,
  peers: readonly PolicyPeer[],
  matches: (seen: Peer) => boolean
): PeerTest {
  const isLocal = ({ namespaceSelector, ipBlock }: PolicyPeer): boolean =>
    namespaceSelector === undefined && ipBlock === undefined;
  return {
    key: JSON.stringify([network, direction, peers.some(isLocal) ? policyNamespace : '', peers]),
    ...(peers.length > 0 && peers.every(isLocal) && { namespace: policyNamespace }),
    matches: (peer) => matches(peerSeenBy(peer, direction, network)),
  };
}

/** Returns true when a port of a NetworkPolicy's rule matches the flow. */
export function policyPortMatches({ protocol = 'TCP', port, endPort }: PolicyPort, flow: Flow): boolean {
  if (protocol !== flow.traffic.protocol) return false;
  if (port === undefined) return true;
  const portRange = endPort === undefined ? port : `${port}:${endPort}`;
  return portMatches(portRange, flow.traffic, findDestination(flow));
}
