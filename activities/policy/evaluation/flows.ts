import type { KubernetesObject } from '@kubernetes/client-node';

/** A pod as far as policies can tell one from another. */
export interface PodEnd {
  kind: 'pod';
  namespace: string;
  namespaceLabels: Readonly<Record<string, string>>;
  labels: Readonly<Record<string, string>>;
  serviceAccount: string;
  serviceAccountLabels: Readonly<Record<string, string>>;
  address: string;
  /** Its named ports. */
  ports: readonly NamedPort[];
}

/** A port of a container with a name. */
export interface NamedPort {
  name: string;
  protocol: string;
  port: number;
}

/** A node, or a pod on its network. */
export interface NodeEnd {
  kind: 'node';
  /** What pods reach it by. */
  address: string;
  /** What pods on other nodes see it under, with each network: its address on the overlay, which is one of the pods'. */
  overlay: Readonly<Record<Network, string>>;
  /** Whether it is the very node that the other end runs on. */
  own: boolean;
}

/** The two networks. */
export type Network = 'calico' | 'cilium';

/** Whatever is not in the cluster. */
export interface WorldEnd {
  kind: 'world';
  address: string;
}

/** What a pod talks with. */
export type Peer = PodEnd | NodeEnd | WorldEnd;

/** Which of a pod's policies are asked. */
export const directions = ['ingress', 'egress'] as const;
/** One of {@link directions}. */
export type Direction = (typeof directions)[number];

/** What is sent: a protocol by its upper-case name, with a destination port, or the type of an ICMP message. */
export interface Traffic {
  protocol: string;
  /** @default none: the protocol has no ports */
  port?: number;
  icmpType?: number;
}

/** A connection that one pod's policies judge. */
export interface Flow {
  direction: Direction;
  /** Whose policies are asked: the destination's for ingress, the source's for egress. */
  subject: PodEnd;
  peer: Peer;
  traffic: Traffic;
}

/** What policies say of a flow. */
export interface Judgement {
  allowed: boolean;
  /** The policies that decided: those that matched or, when nothing did, those that leave no other way. */
  by: string[];
}

/** The flow as one of the networks sees it: what a node sends to a pod of another comes from its overlay address. */
export function asSeen(flow: Flow, network: Network): Flow {
  const { peer, direction } = flow;
  if (peer.kind !== 'node' || direction === 'egress') return flow;
  return { ...flow, peer: { ...peer, address: peer.overlay[network] } };
}

/** How one of the networks judges. */
export interface Judge {
  judge: (flow: Flow) => Judgement;
  /** The same text for pods whose flows are all judged the same. */
  subjectKey: (pod: PodEnd) => string;
  /** The same text for those at the other end of a pod's flows that its policies cannot tell apart. */
  peerKey: (subject: PodEnd, direction: Direction, peer: Peer) => string;
}

/** The destination of a flow, whose named ports count. */
export function destinationOf({ direction, subject, peer }: Flow): Peer {
  return direction === 'ingress' ? subject : peer;
}

/** Finds something out about each pod once: pods are asked about again and again. */
export function oncePerPod<T>(find: (pod: PodEnd) => T): (pod: PodEnd) => T {
  const known = new WeakMap<PodEnd, { found: T }>();
  return (pod) => {
    const existing = known.get(pod) ?? { found: find(pod) };
    known.set(pod, existing);
    return existing.found;
  };
}

/** The key of a policy: kind, namespace and name. */
export function policyKey({ kind, metadata }: KubernetesObject): string {
  const { namespace, name = '' } = metadata ?? {};
  return `${kind ?? ''} ${namespace === undefined ? name : `${namespace}/${name}`}`;
}

/** What follows from a flow's pod and direction alone, found out once for each. */
export function perSubject<T>(find: (subject: PodEnd, direction: Direction) => T): (flow: Flow) => T {
  const known = {
    ingress: oncePerPod((pod) => find(pod, 'ingress')),
    egress: oncePerPod((pod) => find(pod, 'egress')),
  };
  return ({ subject, direction }) => known[direction](subject);
}

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

/** A flow in words, as a human would try it. */
export function flowText({ direction, subject, peer, traffic }: Flow): string {
  const [from, to] = direction === 'ingress' ? [peer, subject] : [subject, peer];
  const port = traffic.port === undefined ? '' : ` ${traffic.port}`;
  const icmp = traffic.icmpType === undefined ? '' : ` type ${traffic.icmpType}`;
  return `${endText(from)} to ${endText(to)}, ${traffic.protocol}${port}${icmp} (${direction} rules)`;
}

function endText(end: Peer): string {
  switch (end.kind) {
    case 'world':
      return `${end.address} outside the cluster`;
    case 'node':
      return end.own ? 'its own node' : `node ${end.address}`;
    case 'pod': {
      const labels = Object.entries(end.labels).map(([key, value]) => `${key}=${value}`);
      const account = end.serviceAccount === 'default' ? '' : `, service account ${end.serviceAccount}`;
      return `pod {${labels.join(', ')}} in ${end.namespace}${account} at ${end.address}`;
    }
  }
}
