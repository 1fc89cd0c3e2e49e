import type { LabelSelector } from '../../kubernetes/label-selectors.ts';
import { representatives } from './addresses.ts';
import {
  entityExpression,
  isGiven,
  netsOf,
  protocolName,
  subjectExpression,
  type CalicoPolicy,
  type CalicoRule,
  type EntityRule,
} from './calico-policy.ts';
import type { CalicoPolicies } from './calico.ts';
import { directions, type NamedPort, type Peer, type PodEnd, type Traffic } from './flows.ts';
import { includesDirection, requirementsOf, networkPolicyRules, typesOf, type NetworkPolicy } from './kubernetes.ts';
import { keysOf, parseSelector, type Expression } from './selectors.ts';

/** The cluster that the policies apply to. */
export interface PolicyCluster {
  namespaces: readonly { name: string; labels: Readonly<Record<string, string>> }[];
  /** Existing pods, without their addresses. */
  pods: readonly Omit<PodEnd, 'kind' | 'namespaceLabels' | 'serviceAccountLabels' | 'address'>[];
  serviceAccounts: readonly { namespace: string; name: string; labels: Readonly<Record<string, string>> }[];
  nodeAddresses: readonly string[];
  /** The networks from which pods get addresses: Canal's first, then Cilium's. */
  podCidrs: readonly string[];
}

/** Maximum number of hypothetical kinds of pods; above it, only existing pods count. */
const maxInvented = 2_000;

/** A value that no selector names. */
const other = 'something-else';

/** All pods, peers and traffic that policies can distinguish. */
export interface Domain {
  pods: PodEnd[];
  outside: Peer[];
  traffic: Traffic[];
  /** Conditions under which the domain is complete; empty when it is complete for any future pods. */
  conditions: string[];
}

/** Keys and values that the policies refer to. */
interface Mentions {
  podKeys: Map<string, Set<string>>;
  namespaceKeys: Map<string, Set<string>>;
  namespaces: Set<string>;
  accounts: Set<string>;
  cidrs: Set<string>;
  ports: Set<number>;
  portNames: Set<string>;
  protocols: Set<string>;
  icmpTypes: Set<number>;
}

/**
 * Builds the domain: one of each kind of pod, peer and traffic that the policies can distinguish. It covers every
 * combination of the labels in their selectors, every part into which their CIDRs divide the addresses, and every port
 * at which a verdict can change.
 */
export function domainOf(policies: CalicoPolicies, cluster: PolicyCluster): Domain {
  const mentions = mentionsOf(policies);
  const conditions: string[] = [];
  const cidrs = [...mentions.cidrs];
  const podAddresses = cluster.podCidrs.flatMap((cidr) => representatives(cidrs, cidr));
  const known = new Set<string>();
  const pods: PodEnd[] = [];
  const accounts = new Map(cluster.serviceAccounts.map((one) => [`${one.namespace}/${one.name}`, one.labels]));
  const add = (pod: Omit<PodEnd, 'kind' | 'address' | 'serviceAccountLabels'>): void => {
    const labels = Object.fromEntries(Object.entries(pod.labels).filter(([key]) => mentions.podKeys.has(key)));
    const ports = pod.ports.filter(({ name }) => mentions.portNames.has(name));
    const key = JSON.stringify([pod.namespace, Object.entries(labels).sort(), pod.serviceAccount, ports]);
    if (known.has(key)) return;
    known.add(key);
    const serviceAccountLabels = accounts.get(`${pod.namespace}/${pod.serviceAccount}`) ?? {};
    for (const address of podAddresses)
      pods.push({ kind: 'pod', ...pod, labels, ports, serviceAccountLabels, address });
  };
  // Existing pods come first: operators know them when they read a difference.
  const labelsOf = new Map(cluster.namespaces.map(({ name, labels }) => [name, labels]));
  for (const pod of cluster.pods) add({ ...pod, namespaceLabels: labelsOf.get(pod.namespace) ?? {} });
  const labelSets = combinations(mentions.podKeys);
  const namespaces = inventedNamespaces(mentions, cluster);
  const accountNames = ['default', ...mentions.accounts];
  if (labelSets === undefined || labelSets.length * namespaces.length * accountNames.length > maxInvented) {
    conditions.push('new pods have labels as those have that there are now');
  } else {
    const ports: NamedPort[] = [...mentions.portNames].map((name, index) => ({
      name,
      protocol: 'TCP',
      port: 7_001 + index,
    }));
    const kinds = namespaces.flatMap(({ name, labels: namespaceLabels }) =>
      labelSets.flatMap((labels) =>
        accountNames.map((serviceAccount) => ({ namespace: name, namespaceLabels, labels, serviceAccount, ports }))
      )
    );
    kinds.forEach(add);
  }
  const inPods = new Set(podAddresses);
  const nodes = cluster.nodeAddresses.slice(0, 50);
  const [source, target = source] = cluster.podCidrs.map((cidr) => representatives(cidrs, cidr)[0] ?? '');
  const overlay = { calico: source ?? '', cilium: target ?? '' };
  const outside: Peer[] = [
    ...nodes.slice(0, 1).map((address): Peer => ({ kind: 'node', address, overlay, own: true })),
    ...nodes.map((address): Peer => ({ kind: 'node', address, overlay, own: false })),
    ...representatives([...cidrs, ...cluster.podCidrs, ...nodes])
      .filter((address) => !inPods.has(address) && !nodes.includes(address) && !isPod(address, cluster.podCidrs))
      .map((address): Peer => ({ kind: 'world', address })),
  ];
  return { pods, outside, traffic: trafficOf(mentions, cluster), conditions };
}

function isPod(address: string, podCidrs: readonly string[]): boolean {
  return podCidrs.some((cidr) => representatives([`${address}/32`], cidr).includes(address));
}

function mentionsOf({ own, kubernetes, sets }: CalicoPolicies): Mentions {
  const mentions: Mentions = {
    podKeys: new Map(),
    namespaceKeys: new Map(),
    namespaces: new Set(),
    accounts: new Set(),
    cidrs: new Set(),
    ports: new Set(),
    portNames: new Set(),
    protocols: new Set(['TCP', 'UDP']),
    icmpTypes: new Set(),
  };
  const expression = (one: Expression): void => {
    for (const [key, values] of keysOf(one)) mention(mentions, key, values);
    for (const cidr of netsOf(one, sets)) mentions.cidrs.add(cidr);
  };
  for (const policy of own) {
    readable(() => expression(subjectExpression(policy)));
    for (const rule of [...(policy.spec?.ingress ?? []), ...(policy.spec?.egress ?? [])]) {
      mentionRule(mentions, rule, policy, expression);
    }
  }
  for (const policy of kubernetes) mentionKubernetes(mentions, policy);
  return mentions;
}

/** Runs the work and ignores a selector that cannot be parsed: its translation reports it. */
function readable(work: () => void): void {
  try {
    work();
  } catch {
    return;
  }
}

function mention(mentions: Mentions, key: string, values: readonly string[]): void {
  const into = (map: Map<string, Set<string>>, name: string): void => {
    const known = map.get(name) ?? new Set();
    for (const value of values) known.add(value);
    map.set(name, known);
  };
  if (key === 'projectcalico.org/namespace' || key === 'pcns.projectcalico.org/name') {
    for (const value of values) mentions.namespaces.add(value);
  } else if (key === 'projectcalico.org/serviceaccount' || key === 'pcsa.projectcalico.org/name') {
    for (const value of values) mentions.accounts.add(value);
  } else if (key.startsWith('pcns.')) into(mentions.namespaceKeys, key.slice('pcns.'.length));
  else if (!key.startsWith('pcsa.') && !key.startsWith('projectcalico.org/')) into(mentions.podKeys, key);
}

function mentionPort(mentions: Mentions, port: number | string): void {
  const [first, last] = String(port).split(':').map(Number);
  if (first === undefined || !Number.isInteger(first)) {
    mentions.portNames.add(String(port));
    return;
  }
  // The first port of the range, and the first one after it.
  for (const bound of [first, (last ?? first) + 1]) if (bound <= 65_535) mentions.ports.add(bound);
}

function mentionRule(
  mentions: Mentions,
  rule: CalicoRule,
  { metadata }: CalicoPolicy,
  expression: (one: Expression) => void
): void {
  for (const end of [rule.source ?? {}, rule.destination ?? {}]) {
    readable(() => {
      const about = entityExpression(end, metadata?.namespace);
      if (about !== undefined) expression(about);
      if (isGiven(end.notSelector)) expression(parseSelector(end.notSelector));
    });
    mentionAddresses(mentions, end);
  }
  for (const protocol of [rule.protocol, rule.notProtocol]) {
    if (protocol !== undefined) mentions.protocols.add(protocolName(protocol));
  }
  for (const icmp of [rule.icmp, rule.notICMP]) if (icmp?.type !== undefined) mentions.icmpTypes.add(icmp.type);
}

function mentionAddresses(
  mentions: Mentions,
  { nets = [], notNets = [], ports = [], notPorts = [] }: EntityRule
): void {
  for (const cidr of [...nets, ...notNets]) mentions.cidrs.add(cidr);
  for (const port of [...ports, ...notPorts]) mentionPort(mentions, port);
}

function mentionKubernetes(mentions: Mentions, policy: NetworkPolicy): void {
  const { spec, metadata } = policy;
  mentions.namespaces.add(metadata?.namespace ?? '');
  const labels = (selector: LabelSelector | undefined, of: 'pod' | 'namespace'): void => {
    for (const { key, values = [] } of requirementsOf(selector ?? {})) {
      if (of === 'pod') mention(mentions, key, values);
      else if (key === 'kubernetes.io/metadata.name') for (const value of values) mentions.namespaces.add(value);
      else mention(mentions, `pcns.${key}`, values);
    }
  };
  labels(spec.podSelector, 'pod');
  const types = typesOf(policy);
  const rules = directions
    .filter((one) => includesDirection(types, one))
    .flatMap((one) => networkPolicyRules(policy, one));
  for (const { peers, ports } of rules) {
    for (const { podSelector, namespaceSelector, ipBlock } of peers) {
      labels(podSelector, 'pod');
      labels(namespaceSelector, 'namespace');
      for (const cidr of ipBlock === undefined ? [] : [ipBlock.cidr, ...(ipBlock.except ?? [])])
        mentions.cidrs.add(cidr);
    }
    for (const { protocol = 'TCP', port, endPort } of ports) {
      mentions.protocols.add(protocol);
      if (port !== undefined) mentionPort(mentions, endPort === undefined ? port : `${port}:${endPort}`);
    }
  }
}

/** Returns every combination of values, including a missing and another value; undefined when there are too many. */
function combinations(keys: ReadonlyMap<string, ReadonlySet<string>>): Record<string, string>[] | undefined {
  let found: Record<string, string>[] = [{}];
  for (const [key, values] of keys) {
    if (found.length * (values.size + 2) > maxInvented) return undefined;
    found = found.flatMap((set) => [set, ...[...values, other].map((value) => ({ ...set, [key]: value }))]);
  }
  return found;
}

/**
 * Returns the existing namespaces and, where policies select namespaces by labels, one of each kind that may be
 * created.
 */
function inventedNamespaces(mentions: Mentions, cluster: PolicyCluster): PolicyCluster['namespaces'] {
  const relevant = (labels: Readonly<Record<string, string>>): Record<string, string> =>
    Object.fromEntries(Object.entries(labels).filter(([key]) => mentions.namespaceKeys.has(key)));
  const kinds = new Map<string, PolicyCluster['namespaces'][number]>();
  for (const { name, labels } of cluster.namespaces) {
    const kept = relevant(labels);
    const key = mentions.namespaces.has(name) ? name : JSON.stringify(Object.entries(kept).sort());
    if (!kinds.has(key)) kinds.set(key, { name, labels: kept });
  }
  const more = (combinations(mentions.namespaceKeys) ?? [{}]).map((labels, index) => ({
    name: index === 0 ? 'elsewhere' : `elsewhere-${index}`,
    labels,
  }));
  const there = [...kinds.values()];
  return [
    ...there,
    ...more.filter(
      ({ labels }) =>
        !there.some(
          (one) =>
            !mentions.namespaces.has(one.name) &&
            JSON.stringify(Object.entries(one.labels).sort()) === JSON.stringify(Object.entries(labels).sort())
        )
    ),
  ];
}

function trafficOf({ ports, portNames, protocols, icmpTypes }: Mentions, { pods }: PolicyCluster): Traffic[] {
  const bounds = new Set([1, ...ports]);
  let index = 0;
  for (const name of portNames) {
    bounds.add(7_001 + index++);
    const there = pods.flatMap((pod) => pod.ports.filter((one) => one.name === name));
    for (const { port } of there) bounds.add(port);
  }
  const numbers = [...bounds].sort((a, b) => a - b);
  const icmp = icmpTypes.size === 0 ? [8] : [...new Set([8, 13, ...icmpTypes])];
  return [
    ...[...protocols]
      .filter((protocol) => ['TCP', 'UDP', 'SCTP'].includes(protocol))
      .flatMap((protocol) => numbers.map((port): Traffic => ({ protocol, port }))),
    ...icmp.map((icmpType): Traffic => ({ protocol: 'ICMP', icmpType })),
  ];
}
