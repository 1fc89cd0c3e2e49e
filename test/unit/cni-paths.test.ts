import type { V1DaemonSet } from '@kubernetes/client-node';
import { readCniPaths, readConfiguredMtu, readFlannelAddressing } from '../../activities/canal/installer.ts';
import { checks } from '../../activities/preflight/checks/index.ts';
import { canalInstallation, hostFacts, preflightCluster } from '../support/preflight-cluster.ts';

const k3s = '/var/lib/rancher/k3s/agent/etc/cni/net.d';

describe("the paths of Canal's installer", () => {
  it('follows the mounts, with any names of volumes', () => {
    expect(readCniPaths(canalInstallation({ configFolder: `${k3s}/`, binaryFolder: '/usr/libexec/cni' }))).toEqual({
      configFolder: k3s,
      binaryFolder: '/usr/libexec/cni',
      configFile: '10-canal.conflist',
    });
  });

  it.each([
    ['a mount of a parent folder', [{ name: 'root', mountPath: '/host' }], '/etc/cni/net.d', '/opt/cni/bin'],
    [
      'a part of a volume',
      [
        { name: 'root', mountPath: '/host' },
        { name: 'var', mountPath: '/host/etc/cni/net.d', subPath: 'lib/cni' },
      ],
      '/var/lib/cni',
      '/opt/cni/bin',
    ],
  ])('follows %s', (_, volumeMounts, configFolder, binaryFolder) => {
    const volumes = [
      { name: 'root', hostPath: { path: '/' } },
      { name: 'var', hostPath: { path: '/var' } },
    ];
    const daemonSet = { spec: { template: { spec: { containers: [{ volumeMounts }], volumes } } } };

    const paths = readCniPaths({ daemonSet: daemonSet as unknown as V1DaemonSet });

    expect(paths).toEqual({ configFolder, binaryFolder, configFile: '10-calico.conflist' });
  });

  it('is undefined when no container mounts both folders from the node', () => {
    const installation = canalInstallation();
    for (const volume of installation.daemonSet.spec?.template.spec?.volumes ?? []) delete volume.hostPath;

    expect(readCniPaths(installation)).toBeUndefined();
  });
});

it.each([
  ['0', undefined],
  ['1300', 1300],
  ['', undefined],
])("reads Canal's veth_mtu %j", async (text, expected) => {
  const { connection } = preflightCluster({ configMaps: { 'canal-config': { veth_mtu: text } } });

  expect(await readConfiguredMtu(connection, canalInstallation())).toBe(expected);
});

it.each([
  [[], '', { annotation: 'flannel.alpha.coreos.com/public-ip', configuredInterface: undefined }],
  [[], 'eth1', { annotation: 'flannel.alpha.coreos.com/public-ip', configuredInterface: 'eth1' }],
  [
    ['--kube-annotation-prefix=net.example.com', '--iface', 'eth2'],
    'eth1',
    { annotation: 'net.example.com/public-ip', configuredInterface: 'eth2' },
  ],
  [
    ['--kube-annotation-prefix', 'net.example.com/overlay-'],
    '',
    { annotation: 'net.example.com/overlay-public-ip', configuredInterface: undefined },
  ],
])('reads how Flannel %j chooses its address', async (flannelCommand, canal_iface, expected) => {
  const { connection } = preflightCluster({ configMaps: { 'canal-config': { canal_iface } } });

  expect(await readFlannelAddressing(connection, canalInstallation({ flannelCommand }))).toEqual(expected);
});

describe('cni-folder', () => {
  const { run } = checks['cni-folder'];
  const canal = canalInstallation();

  it('passes where every node has the file, and names the paths', async () => {
    const finding = await run(preflightCluster({ canal, hosts: { n1: {} } }));

    expect(finding).toEqual({
      verdict: 'pass',
      evidence: expect.arrayContaining(['/etc/cni/net.d/10-canal.conflist, plugins in /opt/cni/bin']) as string[],
    });
  });

  it.each([
    ['another file', hostFacts({ cniFiles: { '10-other.conflist': ['bridge'] } }), '10-canal.conflist is not in'],
    ['no file', hostFacts({ cniFiles: {} }), '10-canal.conflist is not in /etc/cni/net.d on n1'],
    ['a folder that cannot be read', hostFacts({ cniFiles: {}, cniError: 'denied' }), 'cannot be read on n1 (denied)'],
    [
      'a file of a flipped node, without a migration',
      hostFacts({ cniFiles: { '10-canal.conflist.cilium_bak': [] } }),
      'n1',
    ],
  ])('blocks for a node with %s', async (_, facts, words) => {
    const finding = await run(preflightCluster({ canal, hosts: { n1: facts, n2: {} } }));

    expect(finding.verdict).toBe('block');
    expect(finding.evidence.join()).toContain(words);
    expect(finding.evidence.join()).not.toContain('n2');
  });

  it('accepts the file that Cilium renamed on a node that an earlier run flipped', async () => {
    const hosts = { n1: { cniFiles: { '10-canal.conflist.cilium_bak': ['calico'] } } };

    const finding = await run(preflightCluster({ canal, hosts, more: { ciliumIsOurs: () => Promise.resolve(true) } }));

    expect(finding.verdict).toBe('pass');
  });

  it('skips a node that was not inspected', async () => {
    const hosts = { n1: { unread: 'ImagePullBackOff', cniFiles: {} } };

    expect(await run(preflightCluster({ canal, hosts }))).toMatchObject({ verdict: 'pass' });
  });

  it('blocks when Cilium would write to another folder', async () => {
    const finding = await run(preflightCluster({ canal: canalInstallation({ configFolder: k3s }), hosts: { n1: {} } }));

    expect(finding).toMatchObject({ verdict: 'block' });
    expect(finding.evidence).toEqual([`CNI files: Canal ${k3s}, Cilium /etc/cni/net.d`]);
  });

  it("blocks when the installer's folders are not from the node", async () => {
    const finding = await run(preflightCluster({ canal, more: { cniPaths: () => Promise.resolve(undefined) } }));

    expect(finding).toMatchObject({ verdict: 'block' });
  });
});
