import type { CalicoPolicy, CalicoRule, NetworkSet } from '../../activities/policy/evaluation/calico-policy.ts';
import { evaluatePolicies } from '../../activities/policy/evaluation/compare.ts';
import type { PolicyCluster } from '../../activities/policy/evaluation/domain.ts';
import type { NetworkPolicy } from '../../activities/policy/evaluation/kubernetes.ts';
import { alternatives, parseSelector, expressionMatches } from '../../activities/policy/evaluation/selectors.ts';
import { buildPolicyReport } from '../../model/policies.ts';
import { policyMarkdown } from '../../model/markdown/policies.ts';

const cluster: PolicyCluster = {
  podCidrs: ['10.244.0.0/16', '10.245.0.0/16'],
  nodeAddresses: ['192.168.1.1', '192.168.1.2'],
  namespaces: [
    { name: 'shop', labels: { team: 'blue' } },
    { name: 'bank', labels: { team: 'red' } },
  ],
  serviceAccounts: [],
  pods: [
    {
      namespace: 'shop',
      labels: { app: 'web' },
      serviceAccount: 'default',
      ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
    },
    { namespace: 'shop', labels: { app: 'client' }, serviceAccount: 'default', ports: [] },
  ],
};

function calico(spec: CalicoPolicy['spec'], name = 'p', namespace: string | undefined = 'shop'): CalicoPolicy {
  const kind = namespace === undefined ? 'GlobalNetworkPolicy' : 'NetworkPolicy';
  return {
    kind,
    metadata: { name: `default.${name}`, ...(namespace !== undefined && { namespace }) },
    spec: spec ?? {},
  };
}

const global = (spec: CalicoPolicy['spec'], name = 'g'): CalicoPolicy => ({
  ...calico(spec, name),
  kind: 'GlobalNetworkPolicy',
  metadata: { name: `default.${name}` },
});

function plain(spec: NetworkPolicy['spec'], name = 'n'): NetworkPolicy {
  return { kind: 'NetworkPolicy', metadata: { name, namespace: 'shop' }, spec };
}

function compare(calicoPolicies: CalicoPolicy[], kubernetes: NetworkPolicy[] = [], sets: NetworkSet[] = []) {
  return evaluatePolicies({ calico: calicoPolicies, kubernetes, sets }, cluster);
}

const allow = (more: Omit<CalicoRule, 'action'> = {}): CalicoRule => ({ action: 'Allow', ...more });
const deny = (more: Omit<CalicoRule, 'action'> = {}): CalicoRule => ({ action: 'Deny', ...more });
const web = "app == 'web'";
const fromClient = { source: { selector: "app == 'client'" } };

describe("Calico's own policies", () => {
  it.each<[string, CalicoPolicy[]]>([
    ['an allowed peer', [calico({ selector: web, ingress: [allow(fromClient)] })]],
    [
      'a port and a range',
      [calico({ selector: web, ingress: [allow({ protocol: 'TCP', destination: { ports: [80, '8080:8090'] } })] })],
    ],
    [
      'a named port',
      [calico({ selector: web, ingress: [allow({ protocol: 'TCP', destination: { ports: ['http'] } })] })],
    ],
    [
      'all but some ports',
      [calico({ selector: web, ingress: [allow({ protocol: 'UDP', destination: { notPorts: [53] } })] })],
    ],
    ['nothing in', [calico({ selector: web, types: ['Ingress'] })]],
    ['nothing out', [calico({ selector: web, types: ['Egress'] })]],
    [
      'everything, said',
      [calico({ selector: web, types: ['Ingress', 'Egress'], ingress: [allow()], egress: [allow()] })],
    ],
    ['what is allowed, then Deny', [calico({ selector: web, ingress: [allow(fromClient), deny()] })]],
    ['Deny, then the rest', [calico({ selector: web, ingress: [deny(fromClient), allow()] })]],
    ['either of two subjects', [calico({ selector: "app == 'web' || app == 'api'", ingress: [allow(fromClient)] })]],
    ['not a label', [calico({ selector: "app != 'web'", ingress: [allow(fromClient)] })]],
    [
      'has and not in',
      [calico({ selector: 'has(app)', ingress: [allow({ source: { selector: "tier not in {'a', 'b'}" } })] })],
    ],
    [
      'another namespace',
      [calico({ selector: web, ingress: [allow({ source: { namespaceSelector: "team == 'red'" } })] })],
    ],
    ['every namespace', [calico({ selector: web, ingress: [allow({ source: { namespaceSelector: 'all()' } })] })]],
    ['a network outside', [calico({ selector: web, egress: [allow({ destination: { nets: ['203.0.113.0/24'] } })] })]],
    ['all addresses', [calico({ selector: web, egress: [allow({ destination: { nets: ['0.0.0.0/0'] } })] })]],
    [
      'all but a network',
      [calico({ selector: web, egress: [allow({ destination: { notNets: ['203.0.113.0/24'] } })] })],
    ],
    ['not selected', [calico({ selector: web, ingress: [allow({ source: { notSelector: "app == 'client'" } })] })]],
    [
      'a service account',
      [calico({ selector: web, ingress: [allow({ source: { serviceAccounts: { names: ['builder'] } } })] })],
    ],
    ['ICMP of a type', [calico({ selector: web, ingress: [allow({ protocol: 'ICMP', icmp: { type: 8 } })] })]],
    [
      'a global default deny',
      [
        global({ order: 2_000, types: ['Ingress'], selector: 'all()' }),
        calico({ selector: web, ingress: [allow(fromClient)] }),
      ],
    ],
    [
      'a global one by namespace',
      [global({ namespaceSelector: "team == 'blue'", selector: web, ingress: [allow(fromClient)] })],
    ],
    ['a Log', [calico({ selector: web, ingress: [{ action: 'Log' }, allow(fromClient)] })]],
    [
      'Deny first, by order',
      [
        calico({ order: 1, selector: web, ingress: [deny({ source: { selector: "app == 'client'" } })] }, 'a'),
        calico({ order: 2, selector: web, ingress: [allow()] }, 'b'),
      ],
    ],
  ])('the translation of %s has the same verdicts', (_, own) => {
    const { verdicts, flows } = compare(own);
    expect(flows).toBeGreaterThan(40);
    expect(verdicts.map(({ verdict, reasons }) => ({ verdict, reasons }))).toEqual(
      own.map(() => ({ verdict: 'equal', reasons: [] }))
    );
  });

  it.each<[string, CalicoPolicy[], RegExp]>([
    [
      'Allow before an overlapping Deny',
      [
        calico({ order: 1, selector: web, ingress: [allow(fromClient)] }, 'a'),
        calico({ order: 2, selector: web, ingress: [deny({ source: { selector: "tier == 'x'" } }), allow()] }, 'b'),
      ],
      /allowed by .*a with Calico, denied by .*b with Cilium/,
    ],
    [
      'some pods by address',
      [calico({ selector: web, ingress: [allow({ source: { nets: ['10.244.3.0/24'] } })] })],
      /at 10\.244\.3\.1 to .* allowed by .* with Calico, denied/,
    ],
    ['Pass', [calico({ selector: web, ingress: [{ action: 'Pass' }] })], /the action Pass/],
    ['part of a value', [calico({ selector: "app starts with 'w'", ingress: [allow()] })], /parts of label values/],
    [
      'source ports',
      [calico({ selector: web, ingress: [allow({ protocol: 'TCP', source: { ports: [1] } })] })],
      /source ports/,
    ],
    [
      'labels of service accounts',
      [calico({ selector: web, ingress: [allow({ source: { serviceAccounts: { selector: 'a' + " == 'b'" } } })] })],
      /service accounts/,
    ],
    ['a selector that cannot be parsed', [calico({ selector: "app = 'web'" })], /cannot parse the selector/],
    [
      'a label that is part of no identity',
      [calico({ selector: "pod-template-hash == 'x'", ingress: [allow(fromClient)] })],
      /pod-template-hash=x/,
    ],
    ['doNotTrack', [global({ doNotTrack: true, selector: 'all()', ingress: [allow()] })], /doNotTrack/],
    ['HTTP', [calico({ selector: web, ingress: [allow({ http: {} })] })], /HTTP/],
  ])('%s is different, with a reason', (_, own, reason) => {
    const { verdicts, objects } = compare(own);
    expect(verdicts.some(({ verdict }) => verdict === 'different')).toBe(true);
    expect(verdicts.flatMap(({ reasons }) => reasons).join('\n')).toMatch(reason);
    // Policies that differ are not translated.
    const different = verdicts.filter(({ verdict }) => verdict === 'different').map(({ objects: made }) => made.length);
    expect(different.every((made) => made === 0)).toBe(true);
    expect(objects).toHaveLength(verdicts.filter(({ verdict }) => verdict !== 'different').length);
  });

  it('does not skip a policy whose name has the prefix of a different one', () => {
    const nets = { source: { nets: ['10.244.3.0/24'] } };
    const { verdicts } = compare([
      calico({ selector: "app == 'client'", ingress: [allow({ source: { selector: web } })] }, 'p'),
      calico({ selector: web, ingress: [allow(nets)] }, 'p2'),
    ]);
    expect(verdicts.map(({ verdict }) => verdict)).toEqual(['equal', 'different']);
  });

  it('reports the condition under which a NetworkSet is the same', () => {
    const sets: NetworkSet[] = [
      { metadata: { name: 's', labels: { role: 'db' } }, spec: { nets: ['203.0.113.7/32'] } },
    ];
    const policy = global({ selector: web, egress: [allow({ destination: { selector: "role == 'db'" } })] });
    const { verdicts } = compare([policy], [], sets);
    expect(verdicts).toEqual([
      expect.objectContaining({
        verdict: 'equal-if',
        conditions: ['the NetworkSets that it selects do not change'],
      }),
    ]);
  });
});

describe("Kubernetes' NetworkPolicies", () => {
  const egress = (cidr: string, except: string[] = []): NetworkPolicy =>
    plain({ podSelector: {}, policyTypes: ['Egress'], egress: [{ to: [{ ipBlock: { cidr, except } }] }] });

  it.each<[string, NetworkPolicy, number]>([
    [
      'labels',
      plain({
        podSelector: { matchLabels: { app: 'web' } },
        ingress: [{ from: [{ podSelector: { matchLabels: { app: 'client' } } }] }],
      }),
      0,
    ],
    ['everywhere', egress('0.0.0.0/0'), 1],
    ['everywhere but a network outside', egress('0.0.0.0/0', ['169.254.169.254/32']), 1],
    ['everywhere but the cluster', egress('0.0.0.0/0', ['10.0.0.0/8', '192.168.0.0/16']), 0],
    ['a network that holds all pods', egress('10.0.0.0/8'), 1],
    ['a network of nodes', egress('192.168.1.0/24'), 0],
  ])('%s: the same with the supplement', (_, policy, added) => {
    const { verdicts, objects } = compare([], [policy]);
    expect(verdicts.map(({ verdict, reasons }) => ({ verdict, reasons }))).toEqual([{ verdict: 'equal', reasons: [] }]);
    expect(objects).toHaveLength(added);
    // The added policies alone do not enable default deny.
    for (const { spec } of objects) expect(spec.enableDefaultDeny).toEqual({ ingress: false, egress: false });
  });

  it.each<[string, NetworkPolicy]>([
    ['the pods of Canal alone', egress('10.244.0.0/16')],
    ['some pods', egress('0.0.0.0/0', ['10.244.7.0/24'])],
    ['one of the nodes but not all, and the world', egress('0.0.0.0/0', ['192.168.1.1/32'])],
  ])('%s: different', (_, policy) => {
    expect(compare([], [policy]).verdicts[0]).toMatchObject({ verdict: 'different' });
  });

  it('is overruled by an earlier Deny of Calico, and the same in Cilium', () => {
    const open = plain({ podSelector: { matchLabels: { app: 'web' } }, ingress: [{}] });
    const first = global({
      order: 10,
      selector: web,
      types: ['Ingress'],
      ingress: [deny({ source: { selector: "app == 'client'" } })],
    });
    expect(compare([first], [open]).verdicts.map(({ verdict }) => verdict)).toEqual(['equal', 'equal']);
    const last = { ...first, spec: { ...first.spec, order: 2_000 } };
    // A Deny that comes too late has no effect, and is left out.
    const { verdicts, objects } = compare([last], [open]);
    expect(verdicts[0]).toMatchObject({ verdict: 'equal' });
    expect(objects[0]?.spec.ingressDeny).toBeUndefined();
  });
});

describe('selectors', () => {
  it.each([
    ["a == 'x' && !(b in {'y', \"z\"} || has(c))", { a: 'x' }, true],
    ["a == 'x' && !(b in {'y', \"z\"} || has(c))", { a: 'x', b: 'z' }, false],
    ["a not in {'x'}", {}, true],
    ['all()', {}, true],
    ['', {}, true],
    ["a contains 'b'", { a: 'abc' }, true],
    ["a starts with 'b'", { a: 'abc' }, false],
    ["a ends with 'c'", { a: 'abc' }, true],
    ['!has(a)', {}, true],
  ])('%s of %j is %s', (selector, labels, expected) => {
    const expression = parseSelector(selector);
    expect(expressionMatches(expression, labels)).toBe(expected);
  });

  it.each(["a = 'x'", "a == 'x", 'a ==', '(has(a)', "a in {'x'", 'has(a) has(b)', 'a & b'])(
    'cannot parse %s',
    (selector) => {
      expect(() => parseSelector(selector)).toThrow('cannot parse');
    }
  );

  it('builds equivalent alternatives', () => {
    expect(alternatives(parseSelector("(a == 'x' || !has(b)) && c != 'y'"))).toEqual([
      [
        { key: 'a', operator: 'In', values: ['x'] },
        { key: 'c', operator: 'NotIn', values: ['y'] },
      ],
      [
        { key: 'b', operator: 'DoesNotExist' },
        { key: 'c', operator: 'NotIn', values: ['y'] },
      ],
    ]);
    expect(alternatives(parseSelector('!all()'))).toEqual([]);
  });
});

it('reports the first difference', () => {
  const { verdicts, flows } = compare(
    [calico({ selector: web, ingress: [{ action: 'Pass' }] }, 'x')],
    [plain({ podSelector: {}, egress: [{ to: [{ ipBlock: { cidr: '0.0.0.0/0' } }] }] })]
  );
  const text = policyMarkdown(buildPolicyReport({ NetworkPolicy: 1 }, flows, verdicts));
  expect(text).toContain('| NetworkPolicy shop/default.x | **different** | a rule has the action Pass');
  expect(text.indexOf('default.x')).toBeLessThan(text.indexOf('CiliumNetworkPolicy shop/ipblock-n'));
});

it('quotes a long selector only in part, because a report is kept in the history', () => {
  const verdicts = compare([calico({ selector: `${'a'.repeat(100_000)} ??` })]);

  const report = JSON.stringify(buildPolicyReport({}, 1, verdicts.verdicts));

  expect(report).toContain('cannot parse the selector a');
  expect(report.length).toBeLessThan(1_000);
});

describe('policies that a tenant makes large', () => {
  const ipBlocks = (count: number): NetworkPolicy['spec'] => ({
    podSelector: {},
    ingress: [
      { from: Array.from({ length: count }, (_, i) => ({ ipBlock: { cidr: `100.${i >> 8}.${i & 255}.0/24` } })) },
    ],
  });

  it('are compared with 2,000 ipBlocks', () => {
    const { verdicts } = compare([], [plain(ipBlocks(2_000))]);

    expect(verdicts).toMatchObject([{ verdict: 'equal' }]);
  });

  it('are not compared above the limit, which is reported for each; the others are', () => {
    const rules = Array.from({ length: 9_000 }, (_, i) =>
      allow({ source: { nets: [`10.${i >> 8}.${i & 255}.0/24`] } })
    );
    const { verdicts } = compare(
      [calico({ selector: web, ingress: rules }), calico({ selector: web, ingress: [allow(fromClient)] }, 'small')],
      [plain(ipBlocks(20_000)), plain({ podSelector: {} }, 'small')]
    );

    const limit = expect.stringMatching(/^it is not compared: its specification has \d{6} characters/) as string;
    expect(verdicts).toMatchObject([
      { verdict: 'different', reasons: [limit], objects: [] },
      { verdict: 'equal' },
      { verdict: 'different', reasons: [limit], objects: [] },
      { verdict: 'equal' },
    ]);
  });

  it('end after the maximum number of flows, also for one pod', () => {
    const rules = ipBlocks(100).ingress?.[0]?.from?.map((block, index) => ({
      from: [block],
      ports: [{ port: index + 1 }],
    }));
    const policies = { calico: [], sets: [], kubernetes: [plain({ podSelector: {}, ingress: rules ?? [] })] };

    const { verdicts, flows } = evaluatePolicies(policies, cluster, 1_000);

    expect(flows).toBeGreaterThan(1_000);
    expect(flows).toBeLessThan(1_300);
    expect(verdicts[0]?.conditions).toEqual([
      'flows that were not evaluated have the same verdicts as similar flows that were',
    ]);
  });

  it.each([
    ['parentheses', '('.repeat(5_000)],
    ['parentheses that are closed', `${'('.repeat(4_000)}all()${')'.repeat(4_000)}`],
    ['negations', `${'!'.repeat(9_000)}all()`],
  ])('are reported with a selector of too many %s', (_title, selector) => {
    const { verdicts } = compare([calico({ selector })]);

    expect(verdicts).toMatchObject([
      { verdict: 'different', reasons: [expect.stringContaining('is nested deeper than 100 levels')] },
    ]);
  });

  it('are reported with a selector that is too long', () => {
    const { verdicts } = compare([calico({ selector: Array(12_000).fill('has(a)').join(' && ') })]);

    expect(verdicts[0]?.reasons).toEqual([expect.stringContaining('characters, and the limit is 10000')]);
  });

  it('are compared with a selector of 100 levels', () => {
    const { verdicts } = compare([
      calico({ selector: `${'('.repeat(100)}${web}${')'.repeat(100)}`, ingress: [allow()] }),
    ]);

    expect(verdicts).toMatchObject([{ verdict: 'equal' }]);
  });
});
