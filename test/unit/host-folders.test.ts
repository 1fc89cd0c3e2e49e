import { readHostFolders } from '../../activities/canal/host-folders.ts';
import { hostScriptVariables, readHostScript } from '../../activities/host/run-script.ts';
import type { ClusterConnection } from '../../activities/kubernetes/connection.ts';

interface Cluster {
  /** Record on the ConfigMap with Cilium's CNI file. */
  recorded?: string;
  /** Canal's ConfigMap; undefined when Canal is gone. */
  canal?: Record<string, string>;
}

const installerMounts = [
  { name: 'x', mountPath: '/host/etc/cni/net.d' },
  { name: 'y', mountPath: '/host/opt/cni/bin' },
];

const canalPods = {
  containers: [{ name: 'calico-node' }, { name: 'kube-flannel' }],
  initContainers: [{ name: 'install', volumeMounts: installerMounts }],
  volumes: [
    { name: 'flannel-cfg', configMap: { name: 'canal-config' } },
    { name: 'x', hostPath: { path: '/run/cni' } },
    { name: 'y', hostPath: { path: '/opt/cni/bin' } },
  ],
};

function connectTo({ recorded, canal }: Cluster): ClusterConnection {
  const metadata = { annotations: recorded === undefined ? {} : { 'cni-live-migration/host-folders': recorded } };
  const daemonSet = { metadata: { name: 'canal', namespace: 'kube-system' }, spec: { template: { spec: canalPods } } };
  return {
    core: {
      readNamespacedConfigMap: ({ name }: { name: string }) =>
        Promise.resolve(name === 'canal-config' ? { data: canal } : { metadata }),
    },
    apps: { listNamespacedDaemonSet: () => Promise.resolve({ items: canal === undefined ? [] : [daemonSet] }) },
  } as unknown as ClusterConnection;
}

const network = JSON.stringify({ name: 'pods', plugins: [{ type: 'calico', ipam: { type: 'host-local' } }] });
const manifest = {
  ...{ config: '/etc/cni/net.d', plugins: '/opt/cni/bin', addresses: '/var/lib/cni/networks/k8s-pod-network' },
};
const recorded = { config: '/a', plugins: '/b', addresses: null };

it.each([
  ['recorded', { recorded: JSON.stringify(recorded), canal: { cni_network_config: network } }, recorded],
  [
    "Canal's own, without a record",
    { canal: { cni_network_config: network } },
    { config: '/run/cni', plugins: '/opt/cni/bin', addresses: '/var/lib/cni/networks/pods' },
  ],
  ["those of Calico's manifest, without Canal", {}, manifest],
])('folders of a node are %s', async (_, cluster, expected) => {
  expect(await readHostFolders(connectTo(cluster))).toEqual(expected);
});

it('scripts receive every folder that they use', () => {
  const variables = Object.keys(hostScriptVariables(recorded));
  for (const script of ['restore-source-cni', 'clean-canal', 'clean-cilium', 'diagnose'] as const) {
    const used = readHostScript(script).match(/\$\{?CNI_[A-Z]+/g) ?? [];
    expect(variables).toEqual(expect.arrayContaining(used.map((name) => name.replace(/^\$\{?/, ''))));
  }
});
