import type { CalicoPolicy, CalicoRule } from '../../activities/policy/evaluation/calico-policy.ts';
import { createCalicoEvaluator } from '../../activities/policy/evaluation/calico.ts';
import { evaluatePolicies } from '../../activities/policy/evaluation/compare.ts';
import type { Flow, PodEnd } from '../../activities/policy/evaluation/flows.ts';
import type { NetworkPolicy, PolicyPeer, PolicyPort } from '../../activities/policy/evaluation/kubernetes.ts';

import type { PolicyVerdict } from '../../model/policies.ts';

/** A group of pods, one on each node, that policies can distinguish from others. */
export interface Group {
  name: string;
  namespace: string;
  labels: Record<string, string>;
}

/** Labels of the namespaces. */
export const matrixNamespaces: Record<string, Record<string, string>> = {
  'matrix-blue': { team: 'blue' },
  'matrix-red': { team: 'red' },
};

const group = (name: string, namespace: string, labels: Record<string, string>): Group => ({
  name,
  namespace: `matrix-${namespace}`,
  labels: { app: name, ...labels },
});

/** All groups. Shapes of ingress select `server`, those of egress `sender`, Calico's `vault`. */
export const groups: readonly Group[] = [
  group('server', 'blue', { tier: 'front' }),
  group('vault', 'blue', { tier: 'back' }),
  group('client', 'blue', { role: 'client', env: 'prod' }),
  group('other', 'blue', { role: 'other' }),
  group('away', 'red', { role: 'client', env: 'test' }),
  group('sender', 'blue', { role: 'sender' }),
  group('target', 'red', { role: 'target', env: 'prod' }),
  group('closed', 'red', { role: 'closed' }),
];

/** One form of a policy, with its port. */
export interface Shape {
  name: string;
  port: number;
  protocol: 'tcp' | 'udp';
  /** Groups that send, and groups that receive. */
  from: readonly string[];
  to: readonly string[];
  policies: readonly (NetworkPolicy | CalicoPolicy)[];
}

/** Port that every policy allows. */
export const controlPort = 7_999;

/** Container ports with names. */
export const namedPorts = [
  { name: 'named-tcp', protocol: 'TCP', port: 9_900 },
  { name: 'named-udp', protocol: 'UDP', port: 9_901 },
  { name: 'named-out', protocol: 'TCP', port: 9_902 },
  { name: 'calico-named', protocol: 'TCP', port: 9_903 },
];

/** Networks of the lab that policies by address refer to. */
export interface Networks {
  podCidrs: readonly [source: string, target: string];
  /** A machine outside the cluster. */
  world: string;
}

const clients = ['client', 'other', 'away'];

/** Returns every shape, each on its own port, so that all of them can exist at the same time. */
export function shapes({ podCidrs, world }: Networks): Shape[] {
  const found: Shape[] = [];
  let port = 9_000;
  const kubernetes = (
    name: string,
    direction: 'ingress' | 'egress',
    peers: readonly PolicyPeer[] | undefined,
    ports?: (port: number) => PolicyPort[],
    more: Partial<Pick<Shape, 'protocol' | 'port' | 'to'>> = {}
  ): void => {
    const at = more.port ?? port++;
    const protocol = more.protocol ?? 'tcp';
    const list = ports?.(at) ?? [{ protocol: protocol.toUpperCase(), port: at }];
    const inward = direction === 'ingress';
    const rule = { ports: list, ...(peers !== undefined && { [inward ? 'from' : 'to']: peers }) };
    // Packets of a node itself are tested where rules differ most for them.
    const hosts = /^(label|all clients|everything|a network|all pods)/.test(name) ? ['host'] : [];
    const [from, to] = inward ? [[...clients, ...hosts], ['server']] : [['sender'], ['target', 'other', 'away']];
    found.push({
      name: `${direction}: ${name}`,
      port: at,
      protocol,
      from,
      to: more.to ?? to,
      policies: [
        networkPolicy(`${direction}-${at}`, inward ? 'server' : 'sender', {
          policyTypes: [inward ? 'Ingress' : 'Egress'],
          [direction]: [rule],
        }),
      ],
    });
  };
  const pods = (labels: Record<string, string>): PolicyPeer => ({ podSelector: { matchLabels: labels } });
  const expressed = (
    key: string,
    operator: string,
    values?: string[]
  ): { matchExpressions: { key: string; operator: string; values?: string[] }[] } => ({
    matchExpressions: [{ key, operator, ...(values !== undefined && { values }) }],
  });
  const block = (cidr: string, ...except: string[]): PolicyPeer => ({
    ipBlock: { cidr, ...(except.length > 0 && { except }) },
  });
  const byPods = (key: string, operator: string, values?: string[]): PolicyPeer => ({
    podSelector: expressed(key, operator, values),
  });
  const byNamespaces = (key: string, operator: string, values?: string[]): PolicyPeer => ({
    namespaceSelector: expressed(key, operator, values),
  });
  const role = pods({ role: 'client' });
  const everywhere = { namespaceSelector: {} };

  const peers: [name: string, peers: PolicyPeer[] | undefined][] = [
    ['label', [role]],
    ['two labels', [pods({ role: 'client', env: 'prod' })]],
    ['In', [byPods('role', 'In', ['client', 'nobody'])]],
    ['NotIn', [byPods('role', 'NotIn', ['other'])]],
    ['Exists', [byPods('env', 'Exists')]],
    ['DoesNotExist', [byPods('env', 'DoesNotExist')]],
    ['namespace by label', [{ namespaceSelector: { matchLabels: { team: 'red' } } }]],
    ['namespace In', [byNamespaces('team', 'In', ['red', 'green'])]],
    ['namespace NotIn', [byNamespaces('team', 'NotIn', ['red'])]],
    ['namespace Exists', [byNamespaces('team', 'Exists')]],
    ['namespace by name', [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'matrix-red' } } }]],
    ['namespace and label', [{ namespaceSelector: { matchLabels: { team: 'red' } }, ...role }]],
    ['namespace and NotIn', [{ ...everywhere, ...byPods('env', 'NotIn', ['test']) }]],
    ['all of the namespace', [{ podSelector: {} }]],
    ['all pods', [everywhere]],
    ['either of two', [pods({ role: 'other' }), { namespaceSelector: { matchLabels: { team: 'red' } } }]],
    ['all clients', undefined],
    ['no client', [pods({ role: 'nobody' })]],
    ['everything by address', [block('0.0.0.0/0')]],
    ['everything by address but a network outside', [block('0.0.0.0/0', '203.0.113.0/24')]],
    ['everything by address but pods', [block('0.0.0.0/0', ...podCidrs)]],
    ['a network outside', [block('203.0.113.0/24')]],
    ['a network of all pods', [block('10.0.0.0/8')]],
    ['label or a network outside', [role, block('203.0.113.0/24')]],
  ];
  for (const [name, list] of peers) {
    kubernetes(name, 'ingress', list);
    if (['label', 'NotIn', 'namespace by label', 'all clients'].includes(name)) {
      kubernetes(`${name}, UDP`, 'ingress', list, undefined, { protocol: 'udp' });
    }
  }
  kubernetes('a range', 'ingress', [role], (at) => [{ port: at - 2, endPort: at + 2 }], { port: (port += 10) - 5 });
  kubernetes('a range, UDP', 'ingress', [role], (at) => [{ protocol: 'UDP', port: at - 2, endPort: at + 2 }], {
    port: (port += 10) - 5,
    protocol: 'udp',
  });
  kubernetes('several ports', 'ingress', [role], (at) => [{ port: 1 }, { port: at }, { protocol: 'UDP', port: 2 }]);
  kubernetes('another protocol', 'ingress', [role], (at) => [{ protocol: 'UDP', port: at }]);
  kubernetes('a named port', 'ingress', [role], () => [{ port: 'named-tcp' }], { port: 9_900 });
  kubernetes('a named port, UDP', 'ingress', [role], () => [{ protocol: 'UDP', port: 'named-udp' }], {
    port: 9_901,
    protocol: 'udp',
  });

  const outward: [name: string, peers: PolicyPeer[] | undefined][] = [
    ['label', [pods({ role: 'other' })]],
    ['namespace by label', [{ namespaceSelector: { matchLabels: { team: 'red' } } }]],
    ['namespace and In', [{ ...everywhere, ...byPods('role', 'In', ['target', 'other']) }]],
    ['namespace and NotIn', [{ ...everywhere, ...byPods('role', 'NotIn', ['target']) }]],
    ['namespace and Exists', [{ ...everywhere, ...byPods('env', 'Exists') }]],
    ['all pods', [everywhere]],
    ['all clients', undefined],
    ['no client', [pods({ role: 'nobody' })]],
    ['everything by address', [block('0.0.0.0/0')]],
    ['everything by address but pods', [block('0.0.0.0/0', ...podCidrs)]],
    ['a machine outside', [block(`${world}/32`)]],
    ['everything but a machine outside', [block('0.0.0.0/0', `${world}/32`)]],
  ];
  for (const [name, list] of outward)
    kubernetes(name, 'egress', list, undefined, { to: ['target', 'other', 'away', 'world'] });
  kubernetes('label, UDP', 'egress', [pods({ role: 'other' })], undefined, { protocol: 'udp' });
  kubernetes('a range', 'egress', [everywhere], (at) => [{ port: at - 2, endPort: at + 2 }], {
    port: (port += 10) - 5,
  });
  kubernetes('a named port', 'egress', [everywhere], () => [{ port: 'named-out' }], { port: 9_902 });

  found.push({
    name: 'default deny, both ways',
    port: port++,
    protocol: 'tcp',
    from: [...clients, 'closed'],
    to: ['closed', 'target'],
    policies: [networkPolicy('default-deny', 'closed', { policyTypes: ['Ingress', 'Egress'] })],
  });
  found.push(...calicoShapes(() => port++));
  return found;
}

function networkPolicy(name: string, app: string, spec: Omit<NetworkPolicy['spec'], 'podSelector'>): NetworkPolicy {
  const { namespace } = groups.find((group) => group.name === app) ?? { namespace: '' };
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name, namespace },
    spec: { podSelector: { matchLabels: { app } }, ...spec },
  };
}

const bothProtocols: PolicyPort[] = ['TCP', 'UDP'].map((protocol) => ({ protocol, port: controlPort }));

/** Policies that allow the control port where other policies isolate pods. */
export const controlPolicies: readonly NetworkPolicy[] = [
  ...['server', 'vault'].map((app) =>
    networkPolicy(`control-${app}`, app, { policyTypes: ['Ingress'], ingress: [{ ports: bothProtocols }] })
  ),
  networkPolicy('control-sender', 'sender', { policyTypes: ['Egress'], egress: [{ ports: bothProtocols }] }),
];

/** Returns shapes of Calico's own policies, about `vault`. */
function calicoShapes(nextPort: () => number): Shape[] {
  const vault = "app == 'vault'";
  const make = (
    name: string,
    rules: (
      on: Pick<CalicoRule, 'protocol' | 'destination'>,
      port: number
    ) => (CalicoPolicy['spec'] & { global?: boolean })[],
    protocol: 'tcp' | 'udp' = 'tcp',
    port = nextPort()
  ): Shape => ({
    name: `Calico: ${name}`,
    port,
    protocol,
    from: /selector$|all addresses|namespace$/.test(name) ? [...clients, 'host'] : clients,
    to: ['vault'],
    policies: rules({ protocol: protocol.toUpperCase(), destination: { ports: [port] } }, port).map(
      ({ global = false, ...spec }, index) => ({
        apiVersion: 'crd.projectcalico.org/v1',
        kind: global ? ('GlobalNetworkPolicy' as const) : ('NetworkPolicy' as const),
        metadata: { name: `default.p${port}-${index}`, ...(!global && { namespace: 'matrix-blue' }) },
        spec: { selector: vault, ...spec },
      })
    ),
  });
  const from = (selector: string, more: object = {}) => ({ source: { selector, ...more } });
  const client = "role == 'client'";
  return [
    make('selector', (on) => [{ ingress: [{ action: 'Allow', ...on, ...from(client) }] }]),
    make('selector, UDP', (on) => [{ ingress: [{ action: 'Allow', ...on, ...from(client) }] }], 'udp'),
    make('not equal', (on) => [{ ingress: [{ action: 'Allow', ...on, ...from("role != 'other'") }] }]),
    make('either', (on) => [{ ingress: [{ action: 'Allow', ...on, ...from("env == 'prod' || role == 'other'") }] }]),
    make('not in', (on) => [{ ingress: [{ action: 'Allow', ...on, ...from("role not in {'client', 'x'}") }] }]),
    make('has', (on) => [{ ingress: [{ action: 'Allow', ...on, ...from('has(env)') }] }]),
    make('not', (on) => [{ ingress: [{ action: 'Allow', ...on, ...from(`!(${client})`) }] }]),
    make('namespace', (on) => [
      { ingress: [{ action: 'Allow', ...on, source: { namespaceSelector: "team == 'red'" } }] },
    ]),
    make('namespace and selector', (on) => [
      { ingress: [{ action: 'Allow', ...on, ...from(client, { namespaceSelector: 'all()' }) }] },
    ]),
    make('notSelector', (on) => [
      { ingress: [{ action: 'Allow', ...on, source: { notSelector: "role == 'other'" } }] },
    ]),
    make('service account', (on) => [
      { ingress: [{ action: 'Allow', ...on, source: { serviceAccounts: { names: ['default'] } } }] },
    ]),
    make('a range', (on, port) => [
      { ingress: [{ action: 'Allow', ...on, destination: { ports: [`${port}:${port}`] }, ...from(client) }] },
    ]),
    make(
      'a named port',
      (on) => [{ ingress: [{ action: 'Allow', ...on, destination: { ports: ['calico-named'] }, ...from(client) }] }],
      'tcp',
      9_903
    ),
    make('Allow, then Deny', (on) => [
      {
        ingress: [
          { action: 'Allow', ...on, ...from(client) },
          { action: 'Deny', ...on },
        ],
      },
    ]),
    make('Deny, then Allow', (on) => [
      {
        ingress: [
          { action: 'Deny', ...on, ...from("env == 'prod'") },
          { action: 'Allow', ...on },
        ],
      },
    ]),
    make('order: Deny before Allow', (on) => [
      { global: true, order: 10, ingress: [{ action: 'Deny', ...on, ...from("role == 'other'") }] },
      { order: 20, ingress: [{ action: 'Allow', ...on }] },
    ]),
    make('order: a Deny that comes too late', (on) => [
      { global: true, order: 30, ingress: [{ action: 'Deny', ...on, ...from(client) }] },
      { order: 20, ingress: [{ action: 'Allow', ...on }] },
    ]),
    make('a global policy by namespace', (on) => [
      { global: true, namespaceSelector: "team == 'blue'", ingress: [{ action: 'Allow', ...on, ...from(client) }] },
    ]),
    make('all addresses', (on) => [{ ingress: [{ action: 'Allow', ...on, source: { nets: ['0.0.0.0/0'] } }] }]),
    make('a network outside', (on) => [
      { ingress: [{ action: 'Allow', ...on, source: { nets: ['203.0.113.0/24'] } }] },
    ]),
    make('Log and Allow', (on) => [{ ingress: [{ action: 'Log' }, { action: 'Allow', ...on, ...from(client) }] }]),
  ];
}

/** Returns a generator of numbers from 0 to 1 that are determined by a seed. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const someSelectors = [
  "role == 'client'",
  "role != 'client'",
  'has(env)',
  '!has(env)',
  "env in {'prod', 'test'}",
  "role == 'other' || env == 'test'",
  "role == 'client' && env != 'prod'",
  'all()',
];
const someNamespaces = ["team == 'red'", "team != 'red'", 'all()', 'has(team)', ''];

/**
 * Returns random Calico policies: one to three of them, in any order, with rules that allow and deny. They compare the
 * evaluator with the behaviour of both networks; policies that the two cannot evaluate alike are left to the
 * evaluator's own tests.
 */
export function randomShapes(seed: number, count: number, firstPort: number): Shape[] {
  const random = randomFrom(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  return Array.from({ length: count }, (_, index): Shape => {
    const port = firstPort + index;
    const on = { protocol: 'TCP', destination: { ports: [port] } };
    const rule = (): CalicoRule => ({
      action: random() < 0.6 ? 'Allow' : 'Deny',
      ...on,
      source: { selector: pick(someSelectors), namespaceSelector: pick(someNamespaces) },
    });
    const policies = Array.from({ length: 1 + Math.floor(random() * 3) }, (_one, number): CalicoPolicy => {
      const global = random() < 0.5;
      return {
        apiVersion: 'crd.projectcalico.org/v1',
        kind: global ? 'GlobalNetworkPolicy' : 'NetworkPolicy',
        metadata: { name: `default.random-${port}-${number}`, ...(!global && { namespace: 'matrix-blue' }) },
        spec: {
          selector: "app == 'vault'",
          order: Math.floor(random() * 2_000),
          types: ['Ingress'],
          ingress: Array.from({ length: 1 + Math.floor(random() * 3) }, rule),
        },
      };
    });
    return { name: `random ${seed}/${index}`, port, protocol: 'tcp', from: clients, to: ['vault'], policies };
  });
}

/** One kind of flow for the prober of test/policy-matrix. */
export interface MatrixCheck {
  name: string;
  from: string;
  to: string;
  protocol: string;
  port: number;
  allowedSame: boolean;
  allowedOther: boolean;
  /** True when denied traffic is denied only by the rules of the destination. */
  byDestination: boolean;
  /** True when one of the shape's policies denies other pods by their labels. */
  denyByLabels: boolean;
}

/** True when a policy is one of Calico's own. */
export function isCalico(policy: NetworkPolicy | CalicoPolicy): policy is CalicoPolicy {
  return policy.apiVersion === 'crd.projectcalico.org/v1';
}

/** True when a policy has a rule that denies pods by their labels or by those of their namespace. */
function deniesByLabels(policy: NetworkPolicy | CalicoPolicy): boolean {
  if (!isCalico(policy)) return false;
  return (policy.spec?.ingress ?? []).some(
    ({ action, source }) =>
      action === 'Deny' && (source?.selector !== undefined || source?.namespaceSelector !== undefined)
  );
}

/** Returns the verdicts on policies alone, in a cluster of these groups. */
export function computeVerdicts(
  policies: readonly (NetworkPolicy | CalicoPolicy)[],
  { podCidrs }: Networks
): PolicyVerdict[] {
  return evaluatePolicies(
    {
      calico: policies.filter(isCalico),
      kubernetes: policies.filter((policy): policy is NetworkPolicy => !isCalico(policy)),
      sets: [],
    },
    {
      podCidrs,
      nodeAddresses: ['192.168.1.1', '192.168.1.2'],
      namespaces: Object.entries(matrixNamespaces).map(([name, labels]) => ({ name, labels })),
      serviceAccounts: [],
      pods: groups.map(({ namespace, labels }) => ({
        namespace,
        labels,
        serviceAccount: 'default',
        ports: namedPorts,
      })),
    }
  ).verdicts;
}

/**
 * Returns every flow of the shapes, with its verdicts according to the specified policies: the sender's and the
 * receiver's.
 */
export function matrixChecks(all: readonly Shape[], networks: Networks): MatrixCheck[] {
  const policies = [...controlPolicies, ...all.flatMap(({ policies: own }) => own)];
  const { evaluate } = createCalicoEvaluator({
    calico: policies.filter(isCalico),
    kubernetes: policies.filter((policy): policy is NetworkPolicy => !isCalico(policy)),
    sets: [],
  });
  const pod = (name: string): PodEnd => {
    const { namespace, labels } = groups.find((group) => group.name === name) ?? { namespace: '', labels: {} };
    const [source] = networks.podCidrs;
    return {
      kind: 'pod',
      namespace,
      labels,
      namespaceLabels: matrixNamespaces[namespace] ?? {},
      serviceAccount: 'default',
      serviceAccountLabels: {},
      address: source.replace('.0.0/16', '.1.5'),
      ports: namedPorts,
    };
  };
  const [canal, cilium] = networks.podCidrs.map((cidr) => cidr.replace('.0.0/16', '.1.0'));
  const overlay = { canal: canal ?? '', cilium: cilium ?? '' };
  const verdict = (from: string, to: string, own: boolean, shape: Shape): { leaves: boolean; enters: boolean } => {
    const traffic = { protocol: shape.protocol.toUpperCase(), port: shape.port };
    const toPeer = (name: string): Flow['peer'] => {
      if (name === 'world') return { kind: 'world', address: networks.world };
      if (name === 'host') return { kind: 'node', address: '10.99.0.1', overlay, local: own };
      return pod(name);
    };
    const [source, destination] = [toPeer(from), toPeer(to)];
    const leaves =
      source.kind !== 'pod' || evaluate({ direction: 'egress', subject: source, peer: destination, traffic }).allowed;
    const enters =
      destination.kind !== 'pod' ||
      evaluate({ direction: 'ingress', subject: destination, peer: source, traffic }).allowed;
    return { leaves, enters };
  };
  return all.flatMap((shape) =>
    shape.from.flatMap((from) =>
      shape.to
        .filter((to) => to !== from)
        .map((to) => {
          const [same, other] = [verdict(from, to, true, shape), verdict(from, to, false, shape)];
          return {
            name: shape.name,
            from,
            to,
            protocol: shape.protocol,
            port: shape.port,
            allowedSame: same.leaves && same.enters,
            allowedOther: other.leaves && other.enters,
            byDestination: same.leaves && other.leaves,
            denyByLabels: shape.policies.some(deniesByLabels),
          };
        })
    )
  );
}
