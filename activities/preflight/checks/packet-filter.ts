import type { KubernetesObject } from '@kubernetes/client-node';
import { summarizeList } from '../../../model/summarize.ts';
import { readCanalConfig } from '../../canal/detect.ts';
import { objectKey } from '../../kubernetes/object-key.ts';
import { unlessEmpty, type PreflightCheck } from '../check.ts';
import type { ClusterReader } from '../cluster-reader.ts';

type FelixConfiguration = KubernetesObject & { spec?: { nftablesMode?: string } };

/** Checks that Canal and kube-proxy program packets with iptables. */
export const packetFilter: PreflightCheck = {
  ensures:
    'kube-proxy, Calico and Flannel program packets with iptables. Other back ends are not tested: IPVS, and nftables.',
  verdicts:
    'Blocks when kube-proxy runs in another mode than iptables, when Calico uses nftables (nftablesMode), and when Flannel does (EnableNFTables).',
  fix: 'Configure the iptables back end and restart the program: mode iptables of kube-proxy, nftablesMode Disabled of the FelixConfiguration and of FELIX_NFTABLESMODE, EnableNFTables false in net-conf.json.',
  rationale:
    'The cleanup removes the chains that iptables lists, so tables of nftables would stay in the kernel and filter packets of Cilium. With IPVS, every service address is on an interface of the node, where Cilium takes it for an address of the node.',
  run: async (cluster) =>
    unlessEmpty(
      'block',
      [...(await kubeProxyModes(cluster)), ...(await calicoBackends(cluster)), ...(await flannelBackends(cluster))],
      'iptables, as far as configurations show'
    ),
};

async function kubeProxyModes({ kubeProxies, hosts }: ClusterReader): Promise<string[]> {
  const { configurations } = await kubeProxies();
  const modes = configurations
    .filter(({ configuration: { mode } }) => mode !== 'iptables')
    .map(
      ({ configuration: { mode }, source, nodes }) => `kube-proxy: mode ${mode} on ${summarizeList(nodes)} (${source})`
    );
  // The interface on which kube-proxy keeps the services' addresses in this mode (kubernetes pkg/proxy/ipvs).
  const withIpvs = [...((await hosts()) ?? [])]
    .filter(([, { links }]) => links.some(({ name }) => name === 'kube-ipvs0'))
    .map(([node]) => node);
  return [...modes, ...(withIpvs.length > 0 ? [`interface kube-ipvs0 on ${summarizeList(withIpvs)}`] : [])];
}

/** Returns where Calico is configured to use nftables. `Auto` follows kube-proxy, whose mode is checked. */
async function calicoBackends({ list, canal }: ClusterReader): Promise<string[]> {
  const source = await canal();
  const containers = source?.daemonSet.spec?.template.spec?.containers ?? [];
  const variables = containers
    .flatMap(({ env = [] }) => env)
    .filter(({ name, value }) => name.toUpperCase() === 'FELIX_NFTABLESMODE' && isEnabled(value))
    .map(({ name, value }) => `Calico: ${name} is ${value} in DaemonSet ${source?.namespace}/${source?.name}`);
  const configurations = (await list<FelixConfiguration>('crd.projectcalico.org/v1', 'FelixConfiguration'))
    .filter(({ spec }) => isEnabled(spec?.nftablesMode))
    .map((felix) => `Calico: nftablesMode is Enabled in FelixConfiguration ${objectKey(felix)}`);
  return [...variables, ...configurations];
}

const isEnabled = (mode: string | undefined): boolean => mode?.toLowerCase() === 'enabled';

async function flannelBackends({ canal, connection }: ClusterReader): Promise<string[]> {
  const source = await canal();
  const text = source && (await readCanalConfig(connection, source))?.['net-conf.json'];
  if (source === undefined || text === undefined) return [];
  const { EnableNFTables } = JSON.parse(text) as { EnableNFTables?: boolean };
  return EnableNFTables === true
    ? [`Flannel: EnableNFTables is true in ConfigMap ${source.namespace}/${source.configMap}`]
    : [];
}
