import type { V1Service } from '@kubernetes/client-node';
import { checks } from '../../activities/preflight/checks/index.ts';
import {
  parseKubeProxyConfig,
  readKubeProxies,
  type KubeProxyConfiguration,
} from '../../activities/preflight/kube-proxy.ts';
import {
  evaluateLocalTraffic,
  localTrafficAdvice,
  nodeLocalServices,
} from '../../activities/preflight/local-traffic.ts';
import { podFacts } from '../support/pod-facts.ts';
import { canalInstallation, hostFacts, preflightCluster, type PreflightCluster } from '../support/preflight-cluster.ts';

const podCidr = '10.245.0.0/16';
const defaults: KubeProxyConfiguration = {
  mode: 'iptables',
  detectLocalMode: 'ClusterCIDR',
  clusterCidrs: [],
  masqueradeBit: 14,
};

/** Returns a pod of kube-proxy as the API server has it. */
const proxyPod = (container: object, volumes: object[] = []): object => ({
  metadata: { name: 'kube-proxy-n1' },
  spec: { nodeName: 'n1', containers: [{ name: 'kube-proxy', ...container }], volumes },
});
const withFile = (file: string, name: string, items?: object[]): object =>
  proxyPod(
    {
      command: ['kube-proxy', `--config=${file}`],
      volumeMounts: [{ name: 'config', mountPath: '/var/lib/kube-proxy' }],
    },
    [{ name: 'config', configMap: { name, items } }]
  );
const file = 'clusterCIDR: 10.244.0.0/16\nmode: ipvs\ndetectLocalMode: NodeCIDR\niptables: {masqueradeBit: 13}\n';
const fromFile = { mode: 'ipvs', detectLocalMode: 'NodeCIDR', clusterCidrs: ['10.244.0.0/16'], masqueradeBit: 13 };

describe('the configuration of kube-proxy', () => {
  const read = ({ systemPods = [], configMaps = {} }: PreflightCluster, hosts = new Map<string, never>()) =>
    readKubeProxies(preflightCluster({ systemPods, configMaps }).connection, hosts);

  it.each<[string, object, Record<string, Record<string, string>>, KubeProxyConfiguration, string]>([
    [
      'the ConfigMap that its file is from',
      withFile('/var/lib/kube-proxy/config.conf', 'kube-proxy'),
      { 'kube-proxy': { 'config.conf': file } },
      fromFile,
      'ConfigMap kube-system/kube-proxy',
    ],
    [
      'a ConfigMap of another name, with another key',
      withFile('/var/lib/kube-proxy/config', 'settings', [{ key: 'proxy.yaml', path: 'config' }]),
      { settings: { 'proxy.yaml': file } },
      fromFile,
      'ConfigMap kube-system/settings',
    ],
    [
      'the flags of a static pod',
      proxyPod({
        command: ['kube-proxy', '--proxy-mode=nftables'],
        // That bit is not for nftables.
        args: ['--cluster-cidr=10.42.0.0/16', '--iptables-masquerade-bit=13'],
      }),
      {},
      { ...defaults, mode: 'nftables', clusterCidrs: ['10.42.0.0/16'] },
      'flags',
    ],
    [
      'the flags in a shell command',
      proxyPod({
        command: ['/bin/sh', '-c', 'exec kube-proxy --cluster-cidr 10.42.0.0/16 --detect-local-mode="NodeCIDR"'],
      }),
      {},
      { ...defaults, detectLocalMode: 'NodeCIDR', clusterCidrs: ['10.42.0.0/16'] },
      'flags',
    ],
  ])('is read from %s', async (_, pod, configMaps, configuration, source) => {
    expect(await read({ systemPods: [pod], configMaps })).toEqual({
      configurations: [{ configuration, source, nodes: ['n1'] }],
      unknown: [],
    });
  });

  it.each([
    ['a file on the node', withFile('/etc/kube-proxy.yaml', 'kube-proxy'), 'is not from a ConfigMap'],
    ['a missing key', withFile('/var/lib/kube-proxy/config.conf', 'kube-proxy'), 'has no config.conf'],
    ['no command', proxyPod({}), 'shows no command'],
  ])('is unknown with %s', async (_, pod, words) => {
    const { configurations, unknown } = await read({ systemPods: [pod] });

    expect(configurations).toEqual([]);
    expect(unknown.join()).toContain(words);
  });

  it('is read from the running kube-proxy where the nodes are inspected, without a pod too', async () => {
    const kubeProxy = { mode: 'iptables', detectLocalMode: 'ClusterCIDR', clusterCidrs: ['10.244.0.0/15'] };
    const hosts = new Map([
      ['n1', hostFacts({ kubeProxy })],
      ['n2', hostFacts({ kubeProxy })],
      ['n3', hostFacts()],
    ]);
    const { connection } = preflightCluster({ systemPods: [proxyPod({ command: ['kube-proxy'] })] });

    expect(await readKubeProxies(connection, hosts)).toEqual({
      configurations: [
        { configuration: { ...defaults, clusterCidrs: ['10.244.0.0/15'] }, source: 'as it runs', nodes: ['n1', 'n2'] },
      ],
      unknown: [],
    });
  });

  it('has the defaults of kube-proxy', () => {
    expect(parseKubeProxyConfig('mode: ""\ndetectLocalMode: ""\nclusterCIDR: ""\niptables: null\n')).toEqual(defaults);
    expect(parseKubeProxyConfig('')).toEqual(defaults);
  });
});

describe('the detection of traffic from pods', () => {
  it.each([
    ['ClusterCIDR', ['10.244.0.0/15'], 'same'],
    ['ClusterCIDR', ['10.244.0.0/15', 'fd00::/48'], 'same'],
    ['ClusterCIDR', [], 'same'],
    ['ClusterCIDR', ['fd00::/48'], 'same'],
    ['ClusterCIDR', ['10.244.0.0/16'], 'differs'],
    // kubernetes pkg/proxy/apis/config/validation accepts one CIDR of each family at most.
    ['ClusterCIDR', ['10.244.0.0/16', '10.245.0.0/16'], 'invalid'],
    ['ClusterCIDR', ['10.244.0.0/15', 'fd00::/48', 'fd01::/48'], 'invalid'],
    ['NodeCIDR', [], 'differs'],
    ['NodeCIDR', ['10.244.0.0/15'], 'differs'],
    ['BridgeInterface', [], 'differs'],
    ['InterfaceNamePrefix', [], 'differs'],
  ])('%s with %j: %s', (detectLocalMode, clusterCidrs, state) => {
    expect(evaluateLocalTraffic({ ...defaults, detectLocalMode, clusterCidrs }, podCidr)).toMatchObject({ state });
  });
});

describe('the advice about kube-proxy', () => {
  const nodes = [{ cidr: '192.0.2.1', owner: 'node n1' }];

  it.each([
    ['one CIDR for both', '10.244.0.0/16', podCidr, false, 'clusterCIDR to 10.244.0.0/15', 'or remove clusterCIDR'],
    ['the same where services depend on it', '10.244.0.0/16', podCidr, true, 'clusterCIDR to 10.244.0.0/15', ''],
    [
      'another podCidr',
      '10.42.0.0/16',
      '172.30.0.0/16',
      true,
      'such as 10.43.0.0/16 with clusterCIDR 10.42.0.0/15',
      '',
    ],
  ])('is %s', (_, oldCidr, newCidr, needed, words, removal) => {
    const advice = localTrafficAdvice({ oldCidr, podCidr: newCidr, others: nodes, needed });

    expect(advice).toContain(words);
    expect(advice.includes('remove clusterCIDR')).toBe(removal !== '');
    // Two CIDRs of one family would stop kube-proxy.
    expect(advice).not.toMatch(/\d,\d/);
  });

  it('names no CIDR that contains addresses of services', () => {
    const others = [{ cidr: '10.43.0.0/16', owner: 'services' }];

    expect(localTrafficAdvice({ oldCidr: '10.42.0.0/16', podCidr: '10.44.0.0/16', others, needed: true })).not.toMatch(
      /clusterCIDR (to )?10/
    );
  });
});

const localService = (more: object, status: object = {}): V1Service => ({
  metadata: { namespace: 'shop', name: 'web' },
  spec: { type: 'LoadBalancer', externalTrafficPolicy: 'Local', ...more },
  status,
});
const balanced = { loadBalancer: { ingress: [{ ip: '203.0.113.7' }] } };

describe('services that pods on Cilium would lose', () => {
  it.each<[string, V1Service, string[]]>([
    ['a load balancer', localService({}, balanced), ['shop/web (203.0.113.7)']],
    ['an external address', localService({ externalIPs: ['203.0.113.8'] }), ['shop/web (203.0.113.8)']],
    ['a node port', localService({ type: 'NodePort', ports: [{ nodePort: 30080 }] }), ['shop/web (node port 30080)']],
    ['policy Cluster', localService({ externalTrafficPolicy: 'Cluster' }, balanced), []],
    ['a load balancer with a name only', localService({}, { loadBalancer: { ingress: [{ hostname: 'lb' }] } }), []],
    ['mode Proxy', localService({}, { loadBalancer: { ingress: [{ ip: '203.0.113.7', ipMode: 'Proxy' }] } }), []],
  ])('%s', (_, service, expected) => {
    expect(nodeLocalServices([service])).toEqual(expected);
  });
});

describe('the check kube-proxy', () => {
  const canal = canalInstallation();
  const cluster = (clusterCIDR: string, services: V1Service[] = [], extra = '') =>
    preflightCluster({
      canal,
      systemPods: [withFile('/var/lib/kube-proxy/config.conf', 'kube-proxy')],
      configMaps: { 'kube-proxy': { 'config.conf': `clusterCIDR: "${clusterCIDR}"\n${extra}` } },
      more: {
        pods: () => Promise.resolve([podFacts('kube-system/kube-proxy-n1', { node: 'n1' })]),
        services: () => Promise.resolve(services),
      },
    });
  const { run } = checks['kube-proxy'];

  it.each([
    ['one CIDR that contains both', '10.244.0.0/15', [], '', 'pass'],
    ['no CIDR', '', [], '', 'pass'],
    ['the CIDR of Canal alone', '10.244.0.0/16', [], '', 'warn'],
    [
      'the CIDR of Canal alone, and a service that depends on it',
      '10.244.0.0/16',
      [localService({}, balanced)],
      '',
      'block',
    ],
    ['one CIDR that contains both, and such a service', '10.244.0.0/15', [localService({}, balanced)], '', 'pass'],
    ['two CIDRs of one family', '10.244.0.0/16,10.245.0.0/16', [], '', 'block'],
    ['NodeCIDR', '', [], 'detectLocalMode: NodeCIDR', 'warn'],
    ['another mark', '10.244.0.0/15', [], 'iptables: {masqueradeBit: 15}', 'block'],
  ])('%s: %s', async (_, clusterCIDR, services, extra, verdict) => {
    expect(await run(cluster(clusterCIDR, services, extra))).toMatchObject({ verdict });
  });

  it('names the services, and advises one CIDR', async () => {
    const { evidence, fix } = await run(cluster('10.244.0.0/16', [localService({}, balanced)]));

    expect(evidence.join()).toContain('shop/web (203.0.113.7)');
    expect(fix).toContain('clusterCIDR to 10.244.0.0/15');
    expect(fix).not.toContain('remove clusterCIDR');
  });

  it('warns when nothing is found', async () => {
    expect(await run(preflightCluster({ canal, hosts: { n1: {} } }))).toMatchObject({ verdict: 'warn' });
  });

  it('needs no pod where kube-proxy answers on the nodes', async () => {
    const kubeProxy = { mode: 'iptables', detectLocalMode: 'ClusterCIDR', clusterCidrs: ['10.244.0.0/15'] };

    expect(await run(preflightCluster({ canal, hosts: { n1: { kubeProxy } } }))).toMatchObject({ verdict: 'pass' });
  });
});

describe('packet-filter', () => {
  const { run } = checks['packet-filter'];
  const kubeProxy = { mode: 'iptables', detectLocalMode: 'ClusterCIDR', clusterCidrs: [] };
  const felix = (nftablesMode: string) => ({
    list: () => Promise.resolve([{ metadata: { name: 'default' }, spec: { nftablesMode } }]) as Promise<never[]>,
  });
  const netConf = (conf: object) => ({ 'canal-config': { 'net-conf.json': JSON.stringify(conf) } });

  const nftables = { n1: { kubeProxy: { ...kubeProxy, mode: 'nftables' } } };
  const calicoVersion = (version: string) => ({
    canalFacts: () => Promise.resolve({ version, podCidr: '10.244.0.0/16', vni: 1, port: 8472 }),
  });
  const evaluate = (given: PreflightCluster) =>
    run(preflightCluster({ canal: canalInstallation(), configMaps: netConf({}), ...given }));

  it.each<[string, PreflightCluster, string]>([
    ['kube-proxy with IPVS', { hosts: { n1: { kubeProxy: { ...kubeProxy, mode: 'ipvs' } } } }, 'mode ipvs on n1'],
    [
      'the interface of IPVS',
      { hosts: { n2: { links: [{ name: 'kube-ipvs0', mtu: 1500, up: false }] } } },
      'kube-ipvs0 on n2',
    ],
    ['a mode that is not known', { hosts: { n1: { kubeProxy: { ...kubeProxy, mode: 'next' } } } }, 'mode next on n1'],
  ])('blocks for %s', async (_, given, words) => {
    const finding = await evaluate(given);

    expect(finding.verdict).toBe('block');
    expect(finding.evidence.join()).toContain(words);
  });

  it.each<[string, PreflightCluster, string]>([
    ['in its configuration', { more: felix('Enabled') }, 'nftablesMode is Enabled in FelixConfiguration default'],
    [
      'in its environment, against its configuration',
      {
        canal: canalInstallation({ calicoEnv: [{ name: 'FELIX_NFTABLESMODE', value: 'Enabled' }] }),
        more: felix('Disabled'),
      },
      'FELIX_NFTABLESMODE is Enabled',
    ],
    ['as it follows kube-proxy', { hosts: nftables, more: felix('Auto') }, 'nftablesMode is Auto'],
    [
      'perhaps, by the default of its version',
      { hosts: nftables, more: calicoVersion('v3.32.1') },
      'v3.32.1 may follow kube-proxy',
    ],
    ['perhaps, with an unknown version', { hosts: nftables, more: calicoVersion('latest') }, 'may follow kube-proxy'],
  ])('warns where Calico uses nftables %s', async (_, given, words) => {
    const finding = await evaluate(given);

    expect(finding.verdict).toBe('warn');
    expect(finding.evidence.join()).toContain(words);
  });

  it.each<[string, PreflightCluster, string]>([
    ['iptables', { hosts: { n1: { kubeProxy } } }, 'kube-proxy: mode iptables on n1'],
    ['a Calico that follows kube-proxy with iptables', { hosts: { n1: { kubeProxy } }, more: felix('Auto') }, 'Calico'],
    [
      'nftables of kube-proxy, next to a Calico without it',
      { hosts: nftables, more: calicoVersion('v3.28.5') },
      'kube-proxy: mode nftables on n1',
    ],
    [
      'nftables of kube-proxy, next to a Calico for which it is disabled',
      { hosts: nftables, more: { ...felix('Disabled'), ...calicoVersion('v3.32.1') } },
      'Calico: iptables',
    ],
    ['nftables of Flannel', { configMaps: netConf({ EnableNFTables: true }) }, 'Flannel: nftables'],
    ['no readable configuration of kube-proxy', {}, 'kube-proxy: mode unknown'],
  ])('passes with %s', async (_, given, words) => {
    const finding = await evaluate(given);

    expect(finding.verdict).toBe('pass');
    expect(finding.evidence.join()).toContain(words);
  });
});
