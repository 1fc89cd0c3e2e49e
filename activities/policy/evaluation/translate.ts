import type { LabelSelector } from '../../kubernetes/label-selectors.ts';
import { covers, overlap } from './addresses.ts';
import {
  calicoTypes,
  entityExpression,
  netsOf,
  policyKey,
  protocolName,
  subjectExpression,
  type CalicoPolicy,
  type CalicoRule,
  type EntityRule,
  type NetworkSet,
} from './calico.ts';
import {
  everything,
  namespaceLabelPrefix,
  podNamespaceLabel,
  serviceAccountLabel,
  sourcePrefix,
  type CiliumPolicy,
  type CiliumPorts,
  type CiliumRule,
  type Entity,
} from './cilium.ts';
import type { Direction } from './flows.ts';
import { rulesOf as kubernetesRules, type NetworkPolicy, type PolicyPeer } from './kubernetes.ts';
import { alternatives, BadSelector, parseSelector, type Expression, type Requirement } from './selectors.ts';

/** What a policy becomes for Cilium. */
export interface Translation {
  /** The policy it is of: kind, namespace and name. */
  of: string;
  objects: CiliumPolicy[];
  /** What of it Cilium has no words for. */
  problems: string[];
  /** Under which conditions it says the same. */
  conditions: string[];
}

/** What translations depend on beside the policies. */
export interface TranslationContext {
  sets: readonly NetworkSet[];
  /** Every network that pods have or get addresses of. */
  podCidrs: readonly string[];
  nodeAddresses: readonly string[];
}

/** Which of a policy's Deny rules are written out; without them, what nothing allows is denied all the same. */
export const denyForms = ['all', 'not the last', 'none'] as const;
/** One of {@link denyForms}. */
export type DenyForm = (typeof denyForms)[number];

const allPods: LabelSelector = {
  matchExpressions: [{ key: sourcePrefix + podNamespaceLabel, operator: 'Exists' }],
};

class Untranslatable extends Error {}

/** Writes a policy of Calico's as Cilium's: namespaced as CiliumNetworkPolicy, global as CiliumClusterwideNetworkPolicy. */
export function translatePolicy(policy: CalicoPolicy, context: TranslationContext, denies: DenyForm): Translation {
  const translation: Translation = { of: policyKey(policy), objects: [], problems: [], conditions: [] };
  const attempt = <T>(work: () => T): T | undefined => {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof Untranslatable) && !(error instanceof BadSelector)) throw error;
      translation.problems.push(error.message);
      return undefined;
    }
  };
  const { metadata, spec = {} } = policy;
  const namespace = metadata?.namespace;
  for (const field of ['doNotTrack', 'preDNAT', 'applyOnForward'] as const) {
    if (spec[field] === true) translation.problems.push(`${field} is about hosts, not pods`);
  }
  if (spec.tier !== undefined && spec.tier !== 'default') translation.problems.push(`it is in the tier ${spec.tier}`);
  const subjects = attempt(() => selectorsOf(subjectExpression(policy), 'its selector', namespace)) ?? [];
  const rules: Partial<Record<Direction | `${Direction}Deny`, CiliumRule[]>> = {};
  for (const type of calicoTypes(policy)) {
    const direction = type === 'Ingress' ? 'ingress' : 'egress';
    const own = spec[direction] ?? [];
    const lastAllow = own.findLastIndex(({ action }) => action === 'Allow');
    // An empty rule is about nothing, and closes the pod.
    const allowed: CiliumRule[] = [];
    const denied: CiliumRule[] = [];
    own.forEach((rule, index) => {
      if (rule.action === 'Log') return;
      if (rule.action === 'Deny' && (denies === 'none' || (denies === 'not the last' && index > lastAllow))) return;
      const written = attempt(() => rulesOf(rule, direction, namespace, context, translation.conditions)) ?? [];
      (rule.action === 'Deny' ? denied : allowed).push(...written);
    });
    rules[direction] = allowed.length > 0 ? allowed : [{}];
    if (denied.length > 0) rules[`${direction}Deny`] = denied;
  }
  translation.conditions = [...new Set(translation.conditions)];
  const kind = namespace === undefined ? 'CiliumClusterwideNetworkPolicy' : 'CiliumNetworkPolicy';
  const base = metadata?.name ?? '';
  translation.objects = subjects.map((endpointSelector, index) => ({
    apiVersion: 'cilium.io/v2',
    kind,
    metadata: {
      name: nameOf('calico', base.replace(/^default\./, ''), index),
      ...(namespace !== undefined && { namespace }),
    },
    spec: { description: `the same as Calico's ${translation.of}`, endpointSelector, ...rules },
  }));
  return translation;
}

/** A valid name, the same each time. */
function nameOf(prefix: string, name: string, index: number): string {
  const suffix = index === 0 ? '' : `-${index}`;
  return `${prefix}-${name}`.slice(0, 253 - suffix.length) + suffix;
}

/** A Calico label as Cilium's selectors name it. */
function ciliumKey(key: string): string {
  if (key === 'projectcalico.org/namespace' || key === 'pcns.projectcalico.org/name')
    return sourcePrefix + podNamespaceLabel;
  if (key === 'projectcalico.org/serviceaccount' || key === 'pcsa.projectcalico.org/name') {
    return sourcePrefix + serviceAccountLabel;
  }
  if (key.startsWith('pcns.')) return sourcePrefix + namespaceLabelPrefix + key.slice('pcns.'.length);
  if (key.startsWith('pcsa.')) throw new Untranslatable('it selects by labels of service accounts');
  if (key.startsWith('projectcalico.org/')) throw new Untranslatable(`it selects by ${key}`);
  return sourcePrefix + key;
}

/** @param own namespace that goes without saying. */
function selectorsOf(expression: Expression, what: string, own?: string): LabelSelector[] {
  const found = alternatives(expression);
  if (found === undefined) throw new Untranslatable(`${what} compares parts of values, or has too many alternatives`);
  return found.map((requirements) => {
    const written = requirements.map(({ key, ...rest }) => ({ ...rest, key: ciliumKey(key) }));
    const isOwn = ({ key, operator, values }: Requirement): boolean =>
      own !== undefined && key === sourcePrefix + podNamespaceLabel && operator === 'In' && values?.[0] === own;
    const selector = written.filter((requirement) => !isOwn(requirement));
    return selector.length === 0 ? {} : { matchExpressions: selector };
  });
}

function rulesOf(
  rule: CalicoRule,
  direction: Direction,
  namespace: string | undefined,
  context: TranslationContext,
  conditions: string[]
): CiliumRule[] {
  if (rule.action === 'Pass') throw new Untranslatable('it has the action Pass');
  if (rule.ipVersion === 6) return [];
  if (rule.http !== undefined) throw new Untranslatable('it has rules about HTTP');
  const { source = {}, destination = {} } = rule;
  const [peer, self] = direction === 'ingress' ? [source, destination] : [destination, source];
  if ((source.ports ?? source.notPorts ?? []).length > 0) throw new Untranslatable('it has rules about source ports');
  if (source.services !== undefined || destination.services !== undefined) {
    throw new Untranslatable('it has rules about services');
  }
  const { ports: _, notPorts: __, ...about } = self;
  if (Object.keys(about).length > 0) throw new Untranslatable('a rule says whom of its own pods it is about');
  const traffic = trafficOf(rule);
  return peersOf(peer, direction, namespace, context, conditions).map((who) => ({ ...who, ...traffic }));
}

function trafficOf({
  protocol,
  notProtocol,
  icmp,
  notICMP,
  destination = {},
}: CalicoRule): Pick<CiliumRule, 'toPorts' | 'icmps'> {
  if (notProtocol !== undefined || notICMP !== undefined)
    throw new Untranslatable('it has rules about all but something');
  const { ports = [], notPorts = [] } = destination;
  if (protocol === undefined) {
    if (ports.length > 0 || notPorts.length > 0) throw new Untranslatable('it names ports without a protocol');
    return {};
  }
  const name = protocolName(protocol);
  if (name === 'ICMP') {
    if (icmp?.type === undefined) throw new Untranslatable('it is about ICMP of any type');
    if (icmp.code !== undefined) throw new Untranslatable('it is about a code of ICMP');
    return { icmps: [{ fields: [{ family: 'IPv4', type: icmp.type }] }] };
  }
  if (!['TCP', 'UDP', 'SCTP'].includes(name)) throw new Untranslatable(`it is about the protocol ${name}`);
  if (ports.length > 0 && notPorts.length > 0) throw new Untranslatable('a rule has both ports and notPorts');
  const written = notPorts.length > 0 ? complement(notPorts) : ports;
  const list = written.length === 0 ? ['0'] : written.map(String);
  return {
    toPorts: chunks(list, 40).map((some) => ({
      ports: some.map((text): CiliumPorts['ports'][number] => {
        const [first = '', last] = text.split(':');
        return { port: first, ...(last !== undefined && { endPort: Number(last) }), protocol: name };
      }),
    })),
  };
}

/** Cilium takes at most 40 ports in one list. */
function chunks<T>(list: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(list.length / size) }, (_, index) =>
    list.slice(index * size, (index + 1) * size)
  );
}

function complement(ports: readonly (number | string)[]): string[] {
  const taken = ports
    .map((port): [number, number] => {
      const [first, last] = String(port).split(':').map(Number);
      if (first === undefined || !Number.isInteger(first)) throw new Untranslatable('it is about all but a named port');
      return [first, last ?? first];
    })
    .sort((a, b) => a[0] - b[0]);
  const free: string[] = [];
  let next = 1;
  for (const [first, last] of taken) {
    if (first > next) free.push(`${next}:${first - 1}`);
    next = Math.max(next, last + 1);
  }
  if (next <= 65_535) free.push(`${next}:65535`);
  return free;
}

type Who = Pick<
  CiliumRule,
  'fromEndpoints' | 'toEndpoints' | 'fromEntities' | 'toEntities' | 'fromCIDRSet' | 'toCIDRSet'
>;

/** Ends of a rule, each to be a rule of its own: Cilium takes one kind of end in each. */
function ends(direction: Direction): {
  endpoints: (list: LabelSelector[]) => Who;
  entities: (list: Entity[]) => Who;
  cidrs: (list: { cidr: string; except?: string[] }[]) => Who;
} {
  const inward = direction === 'ingress';
  return {
    endpoints: (list) => (inward ? { fromEndpoints: list } : { toEndpoints: list }),
    entities: (list) => (inward ? { fromEntities: list } : { toEntities: list }),
    cidrs: (list) => (inward ? { fromCIDRSet: list } : { toCIDRSet: list }),
  };
}

function peersOf(
  peer: EntityRule,
  direction: Direction,
  namespace: string | undefined,
  { sets, ...networks }: TranslationContext,
  conditions: string[]
): Who[] {
  const expression = entityExpression(peer, namespace);
  const not = (peer.notSelector ?? '') === '' ? undefined : parseSelector(peer.notSelector ?? '');
  const { nets = [], notNets = [] } = peer;
  const { endpoints, entities } = ends(direction);
  const byAddress = nets.length > 0 || notNets.length > 0;
  if (expression === undefined && not === undefined && !byAddress) return [entities(['all'])];
  if ((expression !== undefined || not !== undefined) && byAddress) {
    throw new Untranslatable('a rule is about labels and addresses at once');
  }
  if (byAddress) return byNetworks(nets, notNets, direction, networks);
  const found: Who[] = [];
  const pods: Expression = {
    is: 'and',
    of: [
      ...(expression === undefined ? [] : [expression]),
      ...(not === undefined ? [] : [{ is: 'not', of: not } as const]),
    ],
  };
  const selectors = selectorsOf(pods, 'a rule').map((selector) =>
    // A rule without a namespace is about pods of every namespace, and in Cilium's namespaced policies has to say so.
    hasNamespace(selector) ? selector : { matchExpressions: [...(selector.matchExpressions ?? []), ...exists] }
  );
  if (selectors.length > 0) found.push(endpoints(selectors));
  const members = expression === undefined ? [] : netsOf(expression, sets);
  if (members.length > 0) {
    conditions.push('the NetworkSets that it selects stay as they are');
    found.push(...byNetworks(members, [], direction, networks));
  }
  if (not !== undefined) {
    if (netsOf(not, sets).length > 0) throw new Untranslatable('a rule is about all but a NetworkSet');
    // Whoever is no pod is not selected by what is excluded.
    if (expression === undefined) found.push(entities(['world', 'host', 'remote-node']));
  }
  return found;
}

const exists = allPods.matchExpressions ?? [];

function hasNamespace({ matchExpressions = [] }: LabelSelector): boolean {
  return matchExpressions.some(
    ({ key }) => key === sourcePrefix + podNamespaceLabel || key.startsWith(sourcePrefix + namespaceLabelPrefix)
  );
}

/**
 * Networks as CIDRs, which in Cilium are never about pods: where a network holds all pods, they are named beside it; where
 * it holds some of them, nothing says the same, and the comparison tells.
 */
function byNetworks(
  nets: readonly string[],
  notNets: readonly string[],
  direction: Direction,
  networks: Networks
): Who[] {
  const { cidrs } = ends(direction);
  const list = nets.length === 0 ? [everything] : nets.filter((cidr) => !cidr.includes(':'));
  const sets = list.map((cidr) => {
    const except = notNets.filter((one) => covers(cidr, one));
    return { cidr, ...(except.length > 0 && { except }) };
  });
  const gone = notNets.some((one) => list.some((cidr) => overlap(cidr, one) && !covers(cidr, one)));
  if (gone) throw new Untranslatable('a rule excludes more than it includes');
  return [cidrs(sets), ...insiders(list, notNets, direction, networks)];
}

type Networks = Omit<TranslationContext, 'sets'>;

/** The pods and nodes that networks hold as a whole, and that Cilium does not count to them. */
function insiders(
  nets: readonly string[],
  notNets: readonly string[],
  direction: Direction,
  { podCidrs, nodeAddresses }: Networks
): Who[] {
  const { endpoints, entities } = ends(direction);
  const whole = (network: string): boolean =>
    nets.some((cidr) => covers(cidr, network)) && !notNets.some((cidr) => overlap(cidr, network));
  return [
    ...(podCidrs.every(whole) ? [endpoints([allPods])] : []),
    // What nodes send comes from addresses of the overlays, which are among the pods'.
    ...(nets.includes(everything) && (direction === 'ingress' ? podCidrs : nodeAddresses).every(whole)
      ? [entities(['host', 'remote-node'])]
      : []),
  ];
}

/**
 * What a NetworkPolicy needs beside it, so that its ipBlocks are about pods and nodes too, as Calico has them: undefined
 * when nothing. It opens only what the policy itself opens, and goes with it.
 */
export function supplement(policy: NetworkPolicy, networks: Networks): CiliumPolicy | undefined {
  const { metadata, spec } = policy;
  const rules = (direction: Direction): CiliumRule[] => {
    return kubernetesRules(policy, direction).flatMap(({ peers, ports }) => {
      const who = peers.flatMap((peer) => besides(peer, direction, networks));
      const toPorts: CiliumPorts[] = chunks(
        ports.map(({ protocol = 'TCP', port = 0, endPort }) => ({
          port: String(port),
          protocol,
          ...(endPort !== undefined && { endPort }),
        })),
        40
      ).map((some) => ({ ports: some }));
      return who.map((one) => ({ ...one, ...(toPorts.length > 0 && { toPorts }) }));
    });
  };
  const [ingress, egress] = [rules('ingress'), rules('egress')];
  if (ingress.length === 0 && egress.length === 0) return undefined;
  const { matchLabels = {}, matchExpressions = [] } = spec.podSelector ?? {};
  const prefixed = {
    matchLabels: Object.fromEntries(Object.entries(matchLabels).map(([key, value]) => [sourcePrefix + key, value])),
    matchExpressions: matchExpressions.map((one) => ({ ...one, key: sourcePrefix + one.key })),
  };
  return {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: {
      name: nameOf('ipblock', metadata?.name ?? '', 0),
      namespace: metadata?.namespace ?? '',
      ...(metadata?.uid !== undefined && {
        ownerReferences: [
          { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', name: metadata.name ?? '', uid: metadata.uid },
        ],
      }),
    },
    spec: {
      description: `pods and nodes within the ipBlocks of ${policyKey(policy)}`,
      endpointSelector: prefixed,
      enableDefaultDeny: { ingress: false, egress: false },
      ...(ingress.length > 0 && { ingress }),
      ...(egress.length > 0 && { egress }),
    },
  };
}

function besides({ ipBlock }: PolicyPeer, direction: Direction, networks: Networks): Who[] {
  if (ipBlock === undefined || ipBlock.cidr.includes(':')) return [];
  return insiders([ipBlock.cidr], ipBlock.except ?? [], direction, networks);
}
