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
    template({ type: 'host-local', dataDir: 7 }),
  ])('is not read from %s', (text) => {
    expect(() => findAddressStore(text, 'here')).toThrow(expect.objectContaining({ type: 'SourceNotFound' }) as Error);
  });
});
