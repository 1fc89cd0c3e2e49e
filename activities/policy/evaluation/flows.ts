import type { KubernetesObject } from '@kubernetes/client-node';
import type { Network } from '../../../model/network.ts';

/** A pod, with the fields that policies can distinguish. */
export interface PodEnd {
  kind: 'pod';
  namespace: string;
  namespaceLabels: Readonly<Record<string, string>>;
  labels: Readonly<Record<string, string>>;
  serviceAccount: string;
  serviceAccountLabels: Readonly<Record<string, string>>;
  address: string;
  /** Named ports of the pod. */
  ports: readonly NamedPort[];
}

/** A named port of a container. */
export interface NamedPort {
  name: string;
  protocol: string;
  port: number;
}

/** A node, or a pod on its network. */
export interface NodeEnd {
  kind: 'node';
  /** Address at which pods reach it. */
  address: string;
  /** Source address that pods on other nodes see, by network: its address on the overlay, which is a pod address. */
  overlay: Readonly<Record<Network, string>>;
  /** True for the node on which the other end runs. */
  local: boolean;
}

/** An end outside the cluster. */
export interface WorldEnd {
  kind: 'world';
  address: string;
}

/** The other end of a pod's flow. */
export type Peer = PodEnd | NodeEnd | WorldEnd;

/** Directions of a pod's policies. */
export const directions = ['ingress', 'egress'] as const;
/** One of {@link directions}. */
export type Direction = (typeof directions)[number];

/** The traffic of a flow: a protocol by its upper-case name, with a destination port or the type of an ICMP message. */
export interface Traffic {
  protocol: string;
  /** Undefined for a protocol without ports. */
  port?: number;
  icmpType?: number;
}

/** A connection that one pod's policies evaluate. */
export interface Flow {
  direction: Direction;
  /** The pod whose policies apply: the destination for ingress, the source for egress. */
  subject: PodEnd;
  peer: Peer;
  traffic: Traffic;
}

/** Verdict of the policies on a flow. */
export interface Verdict {
  allowed: boolean;
  /** The policies that decided: those that matched or, when none matched, those that enable default deny. */
  by: string[];
}

/**
 * Returns the flow as one of the networks sees it: traffic from a node to a pod of another node comes from its overlay
 * address.
 */
export function asSeenBy(flow: Flow, network: Network): Flow {
  const peer = peerSeenBy(flow.peer, flow.direction, network);
  return peer === flow.peer ? flow : { ...flow, peer };
}

/** Returns the peer of a flow as one of the networks sees it. */
export function peerSeenBy(peer: Peer, direction: Direction, network: Network): Peer {
  return peer.kind !== 'node' || direction === 'egress' ? peer : { ...peer, address: peer.overlay[network] };
}

/** The condition of one rule on the peer, for any traffic. */
export interface PeerTest {
  /** Returns true when the rule applies to this peer. */
  matches: (peer: Peer) => boolean;
  /**
   * The same text for tests with the same results, so that equal rules of many policies are evaluated once.
   * @default every test is evaluated
   */
  key?: string;
  /**
   * The only namespace whose pods can match; no other peer can.
   * @default every peer can match
   */
  namespace?: string;
}

/** Evaluator of one network's policies. */
export interface PolicyEvaluator {
  evaluate: (flow: Flow) => Verdict;
  /** Returns the same text for pods whose flows all have the same verdicts. */
  subjectKey: (pod: PodEnd) => string;
  /** Returns tests that all have the same results for peers that the pod's policies cannot distinguish. */
  peerTests: (subject: PodEnd, direction: Direction) => readonly PeerTest[];
}

/** Returns the destination of a flow, whose named ports apply. */
export function findDestination({ direction, subject, peer }: Flow): Peer {
  return direction === 'ingress' ? subject : peer;
}

/** Caches a function's result for each pod, because pods are evaluated repeatedly. */
export function memoizePerPod<T>(compute: (pod: PodEnd) => T): (pod: PodEnd) => T {
  const results = new WeakMap<PodEnd, { value: T }>();
  return (pod) => {
    const existing = results.get(pod) ?? { value: compute(pod) };
    results.set(pod, existing);
    return existing.value;
  };
}

/**
 * Returns a function that selects, in their order, the policies that may apply to pods of a namespace: its own, and
 * those without a namespace.
 */
export function indexByNamespace<T extends { namespace: string | undefined }>(
  policies: readonly T[]
): (namespace: string) => readonly T[] {
  const lists = new Map<string, readonly T[]>();
  return (namespace) => {
    const list = lists.get(namespace) ?? policies.filter((policy) => (policy.namespace ?? namespace) === namespace);
    lists.set(namespace, list);
    return list;
  };
}

/** Returns the key of a policy: kind, namespace and name. */
export function policyKey({ kind, metadata }: KubernetesObject): string {
  const { namespace, name = '' } = metadata ?? {};
  return `${kind ?? ''} ${namespace === undefined ? name : `${namespace}/${name}`}`;
}

/** Caches a function's result for each pod and direction. */
export function memoizePerSubject<T>(compute: (subject: PodEnd, direction: Direction) => T): (flow: Flow) => T {
  const byDirection = {
    ingress: memoizePerPod((pod) => compute(pod, 'ingress')),
    egress: memoizePerPod((pod) => compute(pod, 'egress')),
  };
  return ({ subject, direction }) => byDirection[direction](subject);
}

/** Returns true when a port, a range `from:to` or a name matches the destination port of a flow. */
export function portMatches(port: number | string, { port: sent, protocol }: Traffic, destination: Peer): boolean {
  if (sent === undefined) return false;
  if (typeof port === 'number') return port === sent;
  const [first, last] = port.split(':').map(Number);
  if (first !== undefined && Number.isInteger(first)) return first <= sent && sent <= (last ?? first);
  return (
    destination.kind === 'pod' &&
    destination.ports.some(
      (namedPort) => namedPort.name === port && namedPort.port === sent && namedPort.protocol === protocol
    )
  );
}

/** Describes a flow as text, for operators who want to try it. */
export function flowText({ direction, subject, peer, traffic }: Flow): string {
  const [from, to] = direction === 'ingress' ? [peer, subject] : [subject, peer];
  const port = traffic.port === undefined ? '' : ` ${traffic.port}`;
  const icmp = traffic.icmpType === undefined ? '' : ` type ${traffic.icmpType}`;
  return `${peerText(from)} to ${peerText(to)}, ${traffic.protocol}${port}${icmp} (${direction} rules)`;
}

function peerText(peer: Peer): string {
  switch (peer.kind) {
    case 'world':
      return `${peer.address} outside the cluster`;
    case 'node':
      return peer.local ? 'its own node' : `node ${peer.address}`;
    case 'pod': {
      const labels = Object.entries(peer.labels).map(([key, value]) => `${key}=${value}`);
      const account = peer.serviceAccount === 'default' ? '' : `, service account ${peer.serviceAccount}`;
      return `pod {${labels.join(', ')}} in ${peer.namespace}${account} at ${peer.address}`;
    }
  }
}
