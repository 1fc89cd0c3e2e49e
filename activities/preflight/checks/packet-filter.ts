import type { KubernetesObject } from '@kubernetes/client-node';
import { summarizeList } from '../../../model/summarize.ts';
import { readCanalConfig } from '../../canal/detect.ts';
import { objectKey } from '../../kubernetes/object-key.ts';
import { block, pass, warn, worst, type Finding, type PreflightCheck } from '../check.ts';
import type { ClusterReader } from '../cluster-reader.ts';

type FelixConfiguration = KubernetesObject & { spec?: { nftablesMode?: string } };

/** Modes of kube-proxy with which a migration works. */
const supportedModes = ['iptables', 'nftables'];

/** Checks that a migration works with the way in which Canal and kube-proxy program packets. */
export const packetFilter: PreflightCheck = {
  ensures: 'kube-proxy, Calico and Flannel program packets with iptables or nftables, and not with IPVS.',
  verdicts:
    'Blocks when kube-proxy runs in another mode than iptables or nftables. Warns when Calico uses nftables, or may do so because it follows kube-proxy (nftablesMode Auto).',
  fix: 'IPVS: configure mode iptables or nftables of kube-proxy, restart it on every node, and remove the interface kube-ipvs0. Calico with nftables: approve the canary node alone, and check its pods, services and policies before you approve others; or set nftablesMode Disabled in the FelixConfiguration and in FELIX_NFTABLESMODE, and restart Canal.',
  rationale:
    'With IPVS, every service address is on an interface of the node, where Cilium takes it for an address of the node. The NAT exemption precedes the tables of kube-proxy, Flannel and Calico, and the cleanup removes those of Canal. Whole clusters with nftables of kube-proxy and Flannel are migrated in tests, but none with nftables of Calico: its rules there have not been tested with packets.',
  run: async (cluster) =>
    worst(await kubeProxyModes(cluster), await calicoBackends(cluster), await flannelBackend(cluster)),
};

async function kubeProxyModes({ kubeProxies, hosts }: ClusterReader): Promise<Finding> {
  const { configurations } = await kubeProxies();
  const describe = ({ configuration: { mode }, source, nodes }: (typeof configurations)[number]): string =>
    `kube-proxy: mode ${mode} on ${summarizeList(nodes)} (${source})`;
  const others = configurations.filter(({ configuration: { mode } }) => !supportedModes.includes(mode)).map(describe);
  // The interface on which kube-proxy keeps the services' addresses in this mode (kubernetes pkg/proxy/ipvs).
  const withIpvs = [...((await hosts()) ?? [])]
    .filter(([, { links }]) => links.some(({ name }) => name === 'kube-ipvs0'))
    .map(([node]) => node);
  const problems = [...others, ...(withIpvs.length > 0 ? [`interface kube-ipvs0 on ${summarizeList(withIpvs)}`] : [])];
  if (problems.length > 0) return block(...problems);
  return pass(...(configurations.length > 0 ? configurations.map(describe) : ['kube-proxy: mode unknown']));
}

/**
 * Returns how Calico programs packets. Its environment overrides its FelixConfiguration. `Auto` is the default of newer
 * versions, and follows kube-proxy (felix/dataplane/linux).
 */
async function calicoBackends(cluster: ClusterReader): Promise<Finding> {
  const settings = await nftablesModes(cluster);
  const enabled = settings.filter(({ mode }) => mode === 'enabled').map(({ text }) => text);
  if (enabled.length > 0) return warn(...enabled);
  const { configurations } = await cluster.kubeProxies();
  const followed = configurations.some(({ configuration: { mode } }) => mode === 'nftables');
  const disabled = settings.some(({ mode }) => mode === 'disabled');
  if (!followed || disabled) return pass('Calico: iptables');
  const auto = settings.find(({ mode }) => mode === 'auto');
  if (auto !== undefined) return warn(`${auto.text}, and kube-proxy uses nftables`);
  const version = (await cluster.canalFacts())?.version ?? '';
  return mayFollowKubeProxy(version)
    ? warn(`Calico: ${version} may follow kube-proxy, which uses nftables; nftablesMode is not set`)
    : pass(`Calico: iptables (${version})`);
}

/** Returns where the mode is set: in the environment, or otherwise in the FelixConfigurations. */
async function nftablesModes({ list, canal }: ClusterReader): Promise<{ mode: string; text: string }[]> {
  const source = await canal();
  const containers = source?.daemonSet.spec?.template.spec?.containers ?? [];
  const variables = containers
    .flatMap(({ env = [] }) => env)
    .filter(({ name, value }) => name.toUpperCase() === 'FELIX_NFTABLESMODE' && value !== undefined && value !== '')
    .map(({ name, value = '' }) => ({
      mode: value.toLowerCase(),
      text: `Calico: ${name} is ${value} in DaemonSet ${source?.namespace}/${source?.name}`,
    }));
  if (variables.length > 0) return variables;
  const configurations = await list<FelixConfiguration>('crd.projectcalico.org/v1', 'FelixConfiguration');
  return configurations.flatMap((felix) => {
    const { nftablesMode } = felix.spec ?? {};
    if (nftablesMode === undefined) return [];
    const text = `Calico: nftablesMode is ${nftablesMode} in FelixConfiguration ${objectKey(felix)}`;
    return [{ mode: nftablesMode.toLowerCase(), text }];
  });
}

/** Returns false for versions of Calico that have no mode for nftables: those before v3.29. */
function mayFollowKubeProxy(version: string): boolean {
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(version) ?? [];
  return major === undefined || Number(major) > 3 || (Number(major) === 3 && Number(minor) >= 29);
}

async function flannelBackend({ canal, connection }: ClusterReader): Promise<Finding> {
  const source = await canal();
  const text = source && (await readCanalConfig(connection, source))?.['net-conf.json'];
  if (source === undefined || text === undefined) return pass('Flannel: no configuration');
  const { EnableNFTables } = JSON.parse(text) as { EnableNFTables?: boolean };
  const backEnd = EnableNFTables === true ? 'nftables' : 'iptables';
  return pass(`Flannel: ${backEnd} (ConfigMap ${source.namespace}/${source.configMap})`);
}
