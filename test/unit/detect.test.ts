import { buildCniChain, findAddressStore } from '../../activities/canal/cni-chain.ts';
import { parseNetConf } from '../../activities/canal/detect.ts';

describe('parseNetConf', () => {
  it.each([
    ['{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}}', { podCidr: '10.244.0.0/16', vni: 1, port: 8472 }],
    [
      '{"Network": "10.1.0.0/16", "Backend": {"Type": "vxlan", "VNI": 7, "Port": 4789}}',
      { podCidr: '10.1.0.0/16', vni: 7, port: 4789 },
    ],
  ])('reads %s', (text, expected) => {
    expect(parseNetConf(text, 'here')).toEqual(expected);
  });

  it.each([
    [undefined, 'no readable net-conf.json'],
    ['{', 'no readable net-conf.json'],
    ['null', "Flannel's backend is undefined"],
    ['{"Network": "10.244.0.0/16", "Backend": {"Type": "host-gw"}}', `Flannel's backend is "host-gw"`],
    ['{"Backend": {"Type": "vxlan"}}', 'names no Network'],
  ])('refuses %s', (text, message) => {
    const failure = expect.objectContaining({ type: 'SourceNotFound', nonRetryable: true }) as Error;
    expect(() => parseNetConf(text, 'here')).toThrow(failure);
    expect(() => parseNetConf(text, 'here')).toThrow(message);
  });
});

describe('the CNI file of nodes that Cilium owns', () => {
  const template = `{
    "name": "k8s-pod-network", "cniVersion": "0.3.1",
    "plugins": [
      {"type": "calico", "nodename": "__KUBERNETES_NODE_NAME__", "mtu": __CNI_MTU__},
      {"type": "portmap", "snat": true, "capabilities": {"portMappings": true}},
      {"type": "bandwidth", "capabilities": {"bandwidth": true}}
    ]
  }`;

  it("has Canal's name and its chained plugins after Cilium", () => {
    expect(buildCniChain(template, 'here')).toEqual({
      cniVersion: '1.0.0',
      name: 'k8s-pod-network',
      plugins: [
        { type: 'cilium-cni' },
        { type: 'portmap', snat: true, capabilities: { portMappings: true } },
        { type: 'bandwidth', capabilities: { bandwidth: true } },
      ],
    });
  });

  it.each([undefined, '', '{"name": ', 'null', '{"name": "x"}', '{"plugins": []}'])('refuses %j', (text) => {
    expect(() => buildCniChain(text, 'here')).toThrow(expect.objectContaining({ type: 'SourceNotFound' }) as Error);
  });
});

describe('chained plugins', () => {
  const chain = (...plugins: unknown[]) =>
    buildCniChain(JSON.stringify({ name: 'pods', plugins: [{ type: 'calico' }, ...plugins] }), 'here').plugins.slice(1);

  it.each<object>([
    { type: 'portmap', snat: true, masqAll: false, markMasqBit: 14, backend: 'nftables' },
    { type: 'portmap', externalSetMarkChain: 'KUBE-MARK-MASQ', capabilities: { portMappings: true } },
    { type: 'bandwidth', ingressRate: 1_000, ingressBurst: 10, egressRate: 1_000, egressBurst: 10 },
    { type: 'tuning', sysctl: { 'net.core.somaxconn': '512' }, mtu: 1_400, txQLen: 5, promisc: false, allmulti: true },
  ])('are adopted with the keys that they may have: %j', (plugin) => {
    expect(chain(plugin)).toEqual([plugin]);
  });

  it.each<[unknown, string]>([
    [{ type: 'host-device', device: 'eth0' }, 'host-device'],
    [{ type: 'macvlan', master: 'eth0' }, 'macvlan'],
    [{ type: 'cilium-cni' }, 'cilium-cni'],
    [{ type: '../../tmp/evil' }, '../../tmp/evil'],
    [{ type: 'toString' }, 'toString'],
    [{ type: '__proto__' }, '__proto__'],
    [{ type: '\u001b[2J' }, '?[2J'],
    [{ type: ['portmap'] }, 'a plugin without a type'],
    [{}, 'a plugin without a type'],
    [null, 'a plugin without a type'],
    ['portmap', 'a plugin without a type'],
    [{ type: 'portmap', ipam: { type: 'host-local', dataDir: '/etc/cron.d' } }, 'ipam'],
    [{ type: 'portmap', conditionsV4: ['-j', 'ACCEPT'] }, 'conditionsV4'],
    [{ type: 'portmap', capabilities: { portMappings: true, ips: true } }, 'ips'],
    [{ type: 'portmap', snat: 'yes' }, 'snat'],
    [{ type: 'bandwidth', ingressRate: -1 }, 'ingressRate'],
    [{ type: 'tuning', dataDir: '/etc' }, 'dataDir'],
    [{ type: 'tuning', mac: '00:00:00:00:00:01' }, 'mac'],
    [{ type: 'tuning', sysctl: { 'kernel.core_pattern': '|/evil' } }, 'kernel.core_pattern'],
    [{ type: 'tuning', sysctl: { 'net.ipv4...kernel.core_pattern': '1' } }, 'kernel.core_pattern'],
    [{ type: 'tuning', sysctl: { 'net/../kernel/core_pattern': '1' } }, 'core_pattern'],
    [{ type: 'tuning', sysctl: { 'net.core.somaxconn': '1\n2' } }, 'somaxconn'],
  ])('are refused by name: %j', (plugin, name) => {
    const act = () => chain(plugin);

    expect(act).toThrow(expect.objectContaining({ type: 'SourceNotFound', nonRetryable: true }) as Error);
    expect(act).toThrow(name);
    expect(act).toThrow('change it in cni_network_config');
  });

  it.each(['__proto__', 'constructor', 'toString'])('are refused with the key %s', (key) => {
    const template = `{"name": "pods", "plugins": [{"type": "portmap", "${key}": {"snat": true}}]}`;

    expect(() => buildCniChain(template, 'here')).toThrow(key);
  });

  it('are refused in a network whose name is a path', () => {
    expect(() => buildCniChain('{"name": "../x", "plugins": []}', 'here')).toThrow('no valid name');
  });
});

describe('the folder in which the IPAM keeps its addresses', () => {
  const template = (ipam: object, name = 'k8s-pod-network') =>
    JSON.stringify({ name, plugins: [{ type: 'calico', ipam }, { type: 'portmap' }] });

  it.each<[object, string | undefined]>([
    [{ type: 'host-local', subnet: 'usePodCidr' }, '/var/lib/cni/networks/k8s-pod-network'],
    [{ type: 'host-local', dataDir: '/run/addresses/' }, '/run/addresses/k8s-pod-network'],
    [{ type: 'calico-ipam' }, undefined],
  ])('of %j is %s', (ipam, folder) => {
    expect(findAddressStore(template(ipam), 'here')).toBe(folder);
  });

  it.each([
    template({ type: 'host-local' }, '../../../etc'),
    template({ type: 'host-local', dataDir: 'relative' }),
    template({ type: 'host-local', dataDir: '/var/../etc' }),
    template({ type: 'host-local', dataDir: '/var/..' }),
    template({ type: 'host-local', dataDir: '/etc;reboot' }),
    template({ type: 'host-local', dataDir: 7 }),
  ])('is not read from %s', (text) => {
    expect(() => findAddressStore(text, 'here')).toThrow(expect.objectContaining({ type: 'SourceNotFound' }) as Error);
  });
});
