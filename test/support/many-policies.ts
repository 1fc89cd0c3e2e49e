import type { ComparisonInput } from '../../activities/policy/evaluation/compare.ts';
import type { NetworkPolicy } from '../../activities/policy/evaluation/kubernetes.ts';

/** Size of a generated cluster. */
export interface ManyPoliciesSize {
  /** Number of NetworkPolicies, the same in every namespace as far as possible. */
  policies: number;
  namespaces: number;
  /**
   * Number of pods per namespace.
   * @default 10
   */
  podsPerNamespace?: number;
}

const apps = ['web', 'api', 'db', 'cache', 'jobs'] as const;

/** Returns the NetworkPolicies that clusters of many tenants typically have, one namespace after the other. */
export function manyPolicies({ policies, namespaces, podsPerNamespace = 10 }: ManyPoliciesSize): ComparisonInput {
  const names = Array.from({ length: namespaces }, (_, index) => `tenant-${index}`);
  const kubernetes = Array.from({ length: policies }, (_, index): NetworkPolicy => {
    const tenant = index % namespaces;
    const round = Math.floor(index / namespaces);
    return {
      kind: 'NetworkPolicy',
      metadata: { name: `policy-${round}`, namespace: names[tenant] ?? '', uid: `uid-${index}` },
      spec: buildSpec(round, tenant),
    };
  });
  return {
    policies: { calico: [], kubernetes, sets: [] },
    cluster: {
      podCidrs: ['10.244.0.0/16', '10.245.0.0/16'],
      nodeAddresses: ['192.168.1.1', '192.168.1.2', '192.168.1.3'],
      namespaces: [
        ...names.map((name, index) => ({ name, labels: { team: `team-${index % 20}` } })),
        ...['kube-system', 'ingress', 'monitoring'].map((name) => ({ name, labels: { purpose: name } })),
      ],
      serviceAccounts: [],
      pods: names.flatMap((namespace) =>
        Array.from({ length: podsPerNamespace }, (_, index) => ({
          namespace,
          labels: { app: apps[index % apps.length] ?? '', release: `r${Math.floor(index / apps.length)}` },
          serviceAccount: 'default',
          ports: [{ name: 'http', protocol: 'TCP', port: 8_080 }],
        }))
      ),
    },
  };
}

/** Returns one of eleven usual kinds of policies of a tenant. */
function buildSpec(round: number, tenant: number): NetworkPolicy['spec'] {
  const app = (name: string) => ({ podSelector: { matchLabels: { app: name } } });
  const purpose = (name: string) => ({ namespaceSelector: { matchLabels: { purpose: name } } });
  const specs: NetworkPolicy['spec'][] = [
    { podSelector: {}, policyTypes: ['Ingress', 'Egress'] },
    {
      podSelector: {},
      policyTypes: ['Egress'],
      egress: [{ to: [purpose('kube-system')], ports: [{ protocol: 'UDP', port: 53 }, { port: 53 }] }],
    },
    { podSelector: {}, ingress: [{ from: [{ podSelector: {} }] }] },
    { ...app('web'), ingress: [{ from: [purpose('ingress')], ports: [{ port: 'http' }] }] },
    { ...app('api'), ingress: [{ from: [app('web')], ports: [{ port: 8_080 }] }] },
    { ...app('db'), ingress: [{ from: [app('api')], ports: [{ port: 5_432 }] }] },
    {
      ...app('jobs'),
      policyTypes: ['Egress'],
      egress: [{ to: [{ ipBlock: { cidr: '0.0.0.0/0', except: ['10.0.0.0/8', '192.168.0.0/16'] } }] }],
    },
    { podSelector: {}, ingress: [{ from: [purpose('monitoring')], ports: [{ port: 9_090, endPort: 9_100 }] }] },
    {
      ...app('api'),
      policyTypes: ['Egress'],
      egress: [{ to: [{ ipBlock: { cidr: `100.${64 + Math.floor(tenant / 256)}.${tenant % 256}.0/24` } }] }],
    },
    {
      ...app('cache'),
      ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: `team-${tenant % 20}` } } }] }],
    },
    {
      podSelector: { matchExpressions: [{ key: 'release', operator: 'In', values: ['r1'] }] },
      policyTypes: ['Egress'],
      egress: [{ to: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': `tenant-${tenant}` } } }] }],
    },
  ];
  return specs[round % specs.length] ?? { podSelector: {} };
}
