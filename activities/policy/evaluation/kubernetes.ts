import type { KubernetesObject } from '@kubernetes/client-node';
import { matchesSelector, type LabelSelector } from '../../kubernetes/label-selectors.ts';
import { destinationOf, portMatches, type Direction, type Flow, type PodEnd } from './flows.ts';
import type { Requirement } from './selectors.ts';

/** Who is at the other end of a rule of a NetworkPolicy. */
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

/** A NetworkPolicy as the API has it: the client library calls the field `from` by another name. */
export function asWritten(policy: KubernetesObject): NetworkPolicy {
  const { spec } = policy as { spec?: NetworkPolicy['spec'] };
  const ingress = spec?.ingress?.map((rule) => {
    const { _from, ...rest } = rule as typeof rule & { _from?: readonly PolicyPeer[] };
    return _from === undefined ? rest : { ...rest, from: _from };
  });
  return { ...policy, spec: { ...spec, ...(ingress !== undefined && { ingress }) } };
}

/** Directions that a NetworkPolicy is about. */
export function typesOf({ spec }: NetworkPolicy): readonly string[] {
  return spec.policyTypes ?? ['Ingress', ...((spec.egress ?? []).length > 0 ? ['Egress'] : [])];
}

/** Whether a list of types, as policies of Kubernetes and of Calico have it, has a direction. */
export function isAbout(types: readonly string[], direction: Direction): boolean {
  return types.includes(direction === 'ingress' ? 'Ingress' : 'Egress');
}

/** The rules of one direction, whichever end they call the other one. */
export function rulesOf(
  { spec }: NetworkPolicy,
  direction: Direction
): { peers: readonly PolicyPeer[]; ports: readonly PolicyPort[] }[] {
  return direction === 'ingress'
    ? (spec.ingress ?? []).map(({ from = [], ports = [] }) => ({ peers: from, ports }))
    : (spec.egress ?? []).map(({ to = [], ports = [] }) => ({ peers: to, ports }));
}

/** A selector as a list of requirements. */
export function requirementsOf({ matchLabels = {}, matchExpressions = [] }: LabelSelector): Requirement[] {
  return [
    ...Object.entries(matchLabels).map(([key, value]) => ({ key, operator: 'In' as const, values: [value] })),
    ...matchExpressions.map(({ key, operator, values }) => ({
      key,
      operator: operator as Requirement['operator'],
      ...(values !== undefined && { values: [...values] }),
    })),
  ];
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
