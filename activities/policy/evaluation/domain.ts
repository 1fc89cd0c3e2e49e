import type { LabelSelector } from '../../kubernetes/label-selectors.ts';
import { representatives } from './addresses.ts';
import {
  entityExpression,
  isPresent,
  selectNetworks,
  protocolName,
  subjectExpression,
  type CalicoPolicy,
  type CalicoRule,
  type EntityRule,
} from './calico-policy.ts';
import type { CalicoPolicies } from './calico.ts';
import { directions, type NamedPort, type Peer, type PodEnd, type Traffic } from './flows.ts';
import {
  includesDirection,
  toRequirements,
  networkPolicyRules,
  listPolicyTypes,
  type NetworkPolicy,
} from './kubernetes.ts';
import { listKeys, parseSelector, type Expression } from './selectors.ts';

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
const maxHypotheticalKinds = 2_000;

/** A value that no selector names. */
const otherValue = 'something-else';

/** All pods, peers and traffic that policies can distinguish. */
export interface Domain {
  pods: PodEnd[];
  outside: Peer[];
  traffic: Traffic[];
  /** Conditions under which the domain is complete; empty when it is complete for any future pods. */
  conditions: string[];
}

/** Keys and values that the policies refer to. */
interface References {
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
export function buildDomain(policies: CalicoPolicies, cluster: PolicyCluster): Domain {
  const references = collectReferences(policies);
  const conditions: string[] = [];
  const cidrs = [...references.cidrs];
  const podAddresses = cluster.podCidrs.flatMap((cidr) => representatives(cidrs, cidr));
  const seenKeys = new Set<string>();
  const pods: PodEnd[] = [];
  const accounts = new Map(
    cluster.serviceAccounts.map((account) => [`${account.namespace}/${account.name}`, account.labels])
  );
  const addPod = (pod: Omit<PodEnd, 'kind' | 'address' | 'serviceAccountLabels'>): void => {
    const labels = Object.fromEntries(Object.entries(pod.labels).filter(([key]) => references.podKeys.has(key)));
    const ports = pod.ports.filter(({ name }) => references.portNames.has(name));
    const key = JSON.stringify([pod.namespace, Object.entries(labels).sort(), pod.serviceAccount, ports]);
    if (seenKeys.has(key)) return;
    seenKeys.add(key);
    const serviceAccountLabels = accounts.get(`${pod.namespace}/${pod.serviceAccount}`) ?? {};
    for (const address of podAddresses)
      pods.push({ kind: 'pod', ...pod, labels, ports, serviceAccountLabels, address });
  };
  // Existing pods come first: operators know them.
  const labelsByNamespace = new Map(cluster.namespaces.map(({ name, labels }) => [name, labels]));
  for (const pod of cluster.pods) addPod({ ...pod, namespaceLabels: labelsByNamespace.get(pod.namespace) ?? {} });
  const labelSets = combinations(references.podKeys);
  const namespaces = listHypotheticalNamespaces(references, cluster);
  const accountNames = ['default', ...references.accounts];
  if (labelSets === undefined || labelSets.length * namespaces.length * accountNames.length > maxHypotheticalKinds) {
    conditions.push('new pods have the same combinations of labels as existing pods');
  } else {
    const ports: NamedPort[] = [...references.portNames].map((name, index) => ({
      name,
      protocol: 'TCP',
      port: 7_001 + index,
    }));
    const kinds = namespaces.flatMap(({ name, labels: namespaceLabels }) =>
      labelSets.flatMap((labels) =>
        accountNames.map((serviceAccount) => ({ namespace: name, namespaceLabels, labels, serviceAccount, ports }))
      )
    );
    kinds.forEach(addPod);
  }
  const podAddressSet = new Set(podAddresses);
  const nodes = cluster.nodeAddresses.slice(0, 50);
  const [canal, cilium = canal] = cluster.podCidrs.map((cidr) => representatives(cidrs, cidr)[0] ?? '');
  const overlay = { canal: canal ?? '', cilium: cilium ?? '' };
  const outside: Peer[] = [
    ...nodes.slice(0, 1).map((address): Peer => ({ kind: 'node', address, overlay, local: true })),
    ...nodes.map((address): Peer => ({ kind: 'node', address, overlay, local: false })),
    ...representatives([...cidrs, ...cluster.podCidrs, ...nodes])
      .filter((address) => !podAddressSet.has(address) && !nodes.includes(address) && !isPod(address, cluster.podCidrs))
      .map((address): Peer => ({ kind: 'world', address })),
  ];
  return { pods, outside, traffic: listTraffic(references, cluster), conditions };
}

function isPod(address: string, podCidrs: readonly string[]): boolean {
  return podCidrs.some((cidr) => representatives([`${address}/32`], cidr).includes(address));
}

function collectReferences({ calico, kubernetes, sets }: CalicoPolicies): References {
  const references: References = {
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
  const addExpression = (expression: Expression): void => {
    for (const [key, values] of listKeys(expression)) addReference(references, key, values);
    for (const cidr of selectNetworks(expression, sets)) references.cidrs.add(cidr);
  };
  for (const policy of calico) {
    ignoreParseErrors(() => addExpression(subjectExpression(policy)));
    for (const rule of [...(policy.spec?.ingress ?? []), ...(policy.spec?.egress ?? [])]) {
      addRuleReferences(references, rule, policy, addExpression);
    }
  }
  for (const policy of kubernetes) addNetworkPolicyReferences(references, policy);
  return references;
}

/** Runs the work and ignores a selector that cannot be parsed: its translation reports it. */
function ignoreParseErrors(work: () => void): void {
  try {
    work();
  } catch {
    return;
  }
}

function addReference(references: References, key: string, values: readonly string[]): void {
  const addValues = (map: Map<string, Set<string>>, name: string): void => {
    const existing = map.get(name) ?? new Set();
    for (const value of values) existing.add(value);
    map.set(name, existing);
  };
  if (key === 'projectcalico.org/namespace' || key === 'pcns.projectcalico.org/name') {
    for (const value of values) references.namespaces.add(value);
  } else if (key === 'projectcalico.org/serviceaccount' || key === 'pcsa.projectcalico.org/name') {
    for (const value of values) references.accounts.add(value);
  } else if (key.startsWith('pcns.')) addValues(references.namespaceKeys, key.slice('pcns.'.length));
  else if (!key.startsWith('pcsa.') && !key.startsWith('projectcalico.org/')) addValues(references.podKeys, key);
}

function addPortReference(references: References, port: number | string): void {
  const [first, last] = String(port).split(':').map(Number);
  if (first === undefined || !Number.isInteger(first)) {
    references.portNames.add(String(port));
    return;
  }
  // The first port of the range, and the first one after it.
  for (const bound of [first, (last ?? first) + 1]) if (bound <= 65_535) references.ports.add(bound);
}

function addRuleReferences(
  references: References,
  rule: CalicoRule,
  { metadata }: CalicoPolicy,
  addExpression: (expression: Expression) => void
): void {
  for (const end of [rule.source ?? {}, rule.destination ?? {}]) {
    ignoreParseErrors(() => {
      const peerExpression = entityExpression(end, metadata?.namespace);
      if (peerExpression !== undefined) addExpression(peerExpression);
      if (isPresent(end.notSelector)) addExpression(parseSelector(end.notSelector));
    });
    addAddressReferences(references, end);
  }
  for (const protocol of [rule.protocol, rule.notProtocol]) {
    if (protocol !== undefined) references.protocols.add(protocolName(protocol));
  }
  for (const icmp of [rule.icmp, rule.notICMP]) if (icmp?.type !== undefined) references.icmpTypes.add(icmp.type);
}

function addAddressReferences(
  references: References,
  { nets = [], notNets = [], ports = [], notPorts = [] }: EntityRule
): void {
  for (const cidr of [...nets, ...notNets]) references.cidrs.add(cidr);
  for (const port of [...ports, ...notPorts]) addPortReference(references, port);
}

function addNetworkPolicyReferences(references: References, policy: NetworkPolicy): void {
  const { spec, metadata } = policy;
  references.namespaces.add(metadata?.namespace ?? '');
  const addSelector = (selector: LabelSelector | undefined, subject: 'pod' | 'namespace'): void => {
    for (const { key, values = [] } of toRequirements(selector ?? {})) {
      if (subject === 'pod') addReference(references, key, values);
      else if (key === 'kubernetes.io/metadata.name') for (const value of values) references.namespaces.add(value);
      else addReference(references, `pcns.${key}`, values);
    }
  };
  addSelector(spec.podSelector, 'pod');
  const types = listPolicyTypes(policy);
  const rules = directions
    .filter((direction) => includesDirection(types, direction))
    .flatMap((direction) => networkPolicyRules(policy, direction));
  for (const { peers, ports } of rules) {
    for (const { podSelector, namespaceSelector, ipBlock } of peers) {
      addSelector(podSelector, 'pod');
      addSelector(namespaceSelector, 'namespace');
      for (const cidr of ipBlock === undefined ? [] : [ipBlock.cidr, ...(ipBlock.except ?? [])])
        references.cidrs.add(cidr);
    }
    for (const { protocol = 'TCP', port, endPort } of ports) {
      references.protocols.add(protocol);
      if (port !== undefined) addPortReference(references, endPort === undefined ? port : `${port}:${endPort}`);
    }
  }
}

/** Returns every combination of values, including a missing and another value; undefined when there are too many. */
function combinations(keys: ReadonlyMap<string, ReadonlySet<string>>): Record<string, string>[] | undefined {
  let sets: Record<string, string>[] = [{}];
  for (const [key, values] of keys) {
    if (sets.length * (values.size + 2) > maxHypotheticalKinds) return undefined;
    sets = sets.flatMap((set) => [set, ...[...values, otherValue].map((value) => ({ ...set, [key]: value }))]);
  }
  return sets;
}

/**
 * Returns the existing namespaces and, where policies select namespaces by labels, one of each kind that may be
 * created.
 */
function listHypotheticalNamespaces(references: References, cluster: PolicyCluster): PolicyCluster['namespaces'] {
  const selectRelevant = (labels: Readonly<Record<string, string>>): Record<string, string> =>
    Object.fromEntries(Object.entries(labels).filter(([key]) => references.namespaceKeys.has(key)));
  const kinds = new Map<string, PolicyCluster['namespaces'][number]>();
  for (const { name, labels } of cluster.namespaces) {
    const kept = selectRelevant(labels);
    const key = references.namespaces.has(name) ? name : JSON.stringify(Object.entries(kept).sort());
    if (!kinds.has(key)) kinds.set(key, { name, labels: kept });
  }
  const hypothetical = (combinations(references.namespaceKeys) ?? [{}]).map((labels, index) => ({
    name: index === 0 ? 'elsewhere' : `elsewhere-${index}`,
    labels,
  }));
  const existing = [...kinds.values()];
  return [
    ...existing,
    ...hypothetical.filter(
      ({ labels }) =>
        !existing.some(
          (namespace) =>
            !references.namespaces.has(namespace.name) &&
            JSON.stringify(Object.entries(namespace.labels).sort()) === JSON.stringify(Object.entries(labels).sort())
        )
    ),
  ];
}

function listTraffic({ ports, portNames, protocols, icmpTypes }: References, { pods }: PolicyCluster): Traffic[] {
  const bounds = new Set([1, ...ports]);
  let index = 0;
  for (const name of portNames) {
    bounds.add(7_001 + index++);
    const namedPorts = pods.flatMap((pod) => pod.ports.filter((port) => port.name === name));
    for (const { port } of namedPorts) bounds.add(port);
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
