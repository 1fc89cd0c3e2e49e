import type { V1Node } from '@kubernetes/client-node';
import type { HostLink } from '../../activities/preflight/host-facts.ts';
import { checks } from '../../activities/preflight/checks/index.ts';
import { canalInstallation, preflightCluster, type PreflightCluster } from '../support/preflight-cluster.ts';

const canal = canalInstallation();

const node = (name: string, address: string, annotations: Record<string, string> = {}): V1Node => ({
  metadata: { name, annotations },
  status: { addresses: [{ type: 'InternalIP', address }] },
});
const withNodes = (...nodes: V1Node[]) => ({ nodes: () => Promise.resolve(nodes) });
const link = (name: string, mtu: number, address: string, more: Partial<HostLink> = {}): HostLink => ({
  name,
  mtu,
  up: true,
  addresses: [`${address}/24`],
  ...more,
});

describe('rp-filter', () => {
  const run = (rpFilter: Record<string, number>, policyMode: string) =>
    checks['rp-filter'].run(preflightCluster({ canal, hosts: { n1: { rpFilter } }, input: { policyMode } }));

  it.each([
    // Cilium's agents set the value for all interfaces to 0.
    [{ all: 1, default: 0, eth0: 0, 'flannel.1': 0 }, 'off', 'pass'],
    [{ all: 0, default: 0, eth0: 1, 'flannel.1': 2 }, 'off', 'pass'],
    [{ all: 0, default: 0, eth0: 0, 'flannel.1': 1 }, 'off', 'block'],
    [{ all: 0, default: 0, eth0: 0, 'flannel.1': 1 }, 'enforce', 'warn'],
    [{ all: 0, default: 1, eth0: 0, 'flannel.1': 0 }, 'enforce', 'warn'],
    // Another VNI than Canal's.
    [{ all: 0, default: 0, 'flannel.9': 1 }, 'off', 'pass'],
  ])('%j with policyMode %s: %s', async (rpFilter, policyMode, verdict) => {
    const finding = await run(rpFilter, policyMode);

    expect(finding).toMatchObject({ verdict });
    if (verdict !== 'pass') expect(finding.evidence.join()).toContain('on n1');
  });
});

describe('node-address', () => {
  const twoCards = [link('eth0', 1500, '203.0.113.11'), link('eth1', 1400, '192.0.2.11')];
  const flannel = (address: string) => ({ 'flannel.alpha.coreos.com/public-ip': address });
  const run = (given: PreflightCluster) => checks['node-address'].run(preflightCluster({ canal, ...given }));

  it('passes where both overlays use the InternalIP', async () => {
    const nodes = withNodes(node('n1', '192.0.2.11', flannel('192.0.2.11')));

    expect(await run({ hosts: { n1: { links: twoCards } }, more: nodes })).toMatchObject({ verdict: 'pass' });
  });

  it('blocks where the overlay would move to another network card, and names both', async () => {
    const nodes = withNodes(node('n1', '203.0.113.11', flannel('192.0.2.11')));
    const configMaps = { 'canal-config': { canal_iface: 'eth1' } };

    const finding = await run({ hosts: { n1: { links: twoCards } }, more: nodes, configMaps });

    expect(finding.verdict).toBe('block');
    expect(finding.evidence.join()).toContain('n1 (Flannel 192.0.2.11 on eth1, Cilium 203.0.113.11 on eth0)');
    expect(finding.fix).toContain('(now eth1)');
  });

  it('blocks where the addresses differ and the nodes were not inspected', async () => {
    const finding = await run({ more: withNodes(node('n1', '203.0.113.11', flannel('192.0.2.11'))) });

    expect(finding.verdict).toBe('block');
  });

  it('warns where both addresses are on one interface', async () => {
    const nodes = withNodes(node('n1', '192.0.2.11', flannel('192.0.2.12')));
    const links = [{ ...link('eth0', 1500, '192.0.2.11'), addresses: ['192.0.2.11/24', '192.0.2.12/24'] }];

    expect(await run({ hosts: { n1: { links } }, more: nodes })).toMatchObject({ verdict: 'warn' });
  });

  it('reads the annotation that Flannel is configured to use', async () => {
    const installation = canalInstallation({ flannelCommand: ['--kube-annotation-prefix=net.example.com'] });
    const nodes = withNodes(node('n1', '203.0.113.11', { 'net.example.com/public-ip': '192.0.2.11' }));

    expect(await run({ canal: installation, more: nodes })).toMatchObject({ verdict: 'block' });
  });

  it.each([
    ['veth0', {}, 'block'],
    ['eth0', {}, 'pass'],
    ['veth0', { values: { devices: ['veth0'] } }, 'pass'],
  ])('evaluates whether Cilium ignores the interface %s with %j: %s', async (name, input, verdict) => {
    const hosts = { n1: { links: [link(name, 1500, '192.0.2.11')] } };

    const finding = await run({ hosts, input, more: withNodes(node('n1', '192.0.2.11')) });

    expect(finding).toMatchObject({ verdict });
    if (verdict === 'block') expect(finding.evidence.join()).toContain(`n1 ${name}`);
  });
});

describe('mtu', () => {
  const overlay = (mtu: number) => link('flannel.1', mtu, '10.244.0.0', { kind: 'vxlan' });
  const run = (links: HostLink[], { vethMtu = '0', values = {}, routes = ['0.0.0.0/0 dev eth0'] } = {}) =>
    checks.mtu.run(
      preflightCluster({
        canal,
        hosts: { n1: { links, routes } },
        configMaps: { 'canal-config': { veth_mtu: vethMtu } },
        input: { values },
        more: withNodes(node('n1', '192.0.2.11')),
      })
    );
  const uplink = link('eth0', 1500, '192.0.2.11');

  it('passes where Cilium detects what Flannel did', async () => {
    expect(await run([uplink, overlay(1450)])).toMatchObject({ verdict: 'pass' });
  });

  it('blocks when veth_mtu was set by hand to less than Cilium detects, and proposes values.MTU', async () => {
    const finding = await run([uplink, overlay(1450)], { vethMtu: '1300' });

    expect(finding.verdict).toBe('block');
    expect(finding.evidence.join()).toContain('veth_mtu of Canal allows: n1 (Cilium 1450, Canal 1300)');
    expect(finding.fix).toContain('Set values.MTU to 1350');
  });

  it('passes with the proposed value', async () => {
    const finding = await run([uplink, overlay(1450)], { vethMtu: '1300', values: { MTU: 1350 } });

    expect(finding.verdict).toBe('pass');
  });

  it('only warns when an operator chose the larger MTU', async () => {
    const finding = await run([uplink, overlay(1450)], { vethMtu: '1300', values: { MTU: 1500 } });

    expect(finding.verdict).toBe('warn');
  });

  it('blocks when the overlay of Flannel uses a card with a smaller MTU that Cilium does not detect', async () => {
    const bridge = link('br1', 1400, '198.51.100.11', { kind: 'bridge' });

    const finding = await run([uplink, bridge, overlay(1350)]);

    expect(finding.verdict).toBe('block');
    expect(finding.fix).toContain('Set values.MTU to 1400');
  });

  it('knows that Cilium takes the smallest MTU of several cards', async () => {
    const finding = await run([uplink, link('eth1', 1400, '198.51.100.11'), overlay(1350)]);

    expect(finding.verdict).toBe('pass');
  });

  it('compares with the interface of the node where values.devices names interfaces', async () => {
    const links = [uplink, link('eth1', 1400, '198.51.100.11'), overlay(1350)];

    expect(await run(links, { values: { devices: ['eth0'] } })).toMatchObject({ verdict: 'block' });
  });
});

it.each([
  [false, 'block'],
  [true, 'pass'],
  [undefined, 'pass'],
])('kernel: nftables %s: %s', async (nftables, verdict) => {
  const hosts = { n1: nftables === undefined ? {} : { nftables } };

  expect(await checks.kernel.run(preflightCluster({ hosts }))).toMatchObject({ verdict });
});

describe('host-ports', () => {
  const conf = JSON.stringify({ name: 'x', plugins: [{ type: 'calico' }, { type: 'portmap' }] });
  const run = (report: object) =>
    checks['host-ports'].run(
      preflightCluster({
        canal,
        configMaps: { 'canal-config': { cni_network_config: conf } },
        hosts: { n1: { chainedPlugins: { portmap: report } } },
      })
    );

  it.each([
    [{ versions: ['0.3.1', '0.4.0', '1.0.0'] }, 'pass', 'portmap'],
    [{ versions: ['0.3.1', '0.4.0'] }, 'block', 'CNI version 1.0.0 is not supported by portmap on n1'],
    [{ error: 'no such file' }, 'warn', 'portmap on n1 (no such file)'],
  ])('a plugin with %j: %s', async (report, verdict, words) => {
    const finding = await run(report);

    expect(finding).toMatchObject({ verdict });
    expect(finding.evidence.join()).toContain(words);
  });

  it('names the plugins that nodes need when they join after the cutover, and their folder', async () => {
    const { evidence } = await run({ versions: ['1.0.0'] });

    expect(evidence[0]).toMatch(/chains portmap\. .* to \/opt\/cni\/bin, but not on nodes that join after the cutover/);
  });
});
