import { summarizeList } from '../../../model/summarize.ts';
import type { NamedNetwork } from '../../../model/networks.ts';
import { ciliumNamespace as namespace } from '../../kubernetes/names.ts';
import { block, pass, warn, worst, type Finding, type PreflightCheck } from '../check.ts';
import type { ClusterReader } from '../cluster-reader.ts';
import { defaultMasqueradeBit, kubeProxyPrefix, kubeProxyText, type KubeProxies } from '../kube-proxy.ts';
import { evaluateLocalTraffic, localTrafficAdvice, nodeLocalServices } from '../local-traffic.ts';
import { apiNetworks } from './pod-cidr-overlap.ts';

/** Checks that services work the same on both networks. */
export const kubeProxy: PreflightCheck = {
  ensures:
    'kube-proxy runs, which serves node ports during and after the migration, and treats pods on both networks alike.',
  verdicts:
    'Blocks when one of its pods is not ready, when it refuses its clusterCIDR at its next start, when it marks packets with another bit than 14, and when it takes pods on Cilium for clients outside the cluster although a service has externalTrafficPolicy Local; warns when there is no such service, or when kube-proxy or its configuration is not found.',
  fix: 'Repair kube-proxy, and make its configuration readable: as a ConfigMap, as flags, or at its metrics address on the nodes.',
  rationale:
    'Cilium implements no node ports and no external addresses here. kube-proxy sends clients outside the cluster only to pods of the same node where externalTrafficPolicy is Local, and drops their packets on nodes without one; its own pods are exempt (kubernetes pkg/proxy/iptables). It recognizes them by one CIDR of each family, by the podCIDR of the node, or by interfaces. Pods on Cilium reach cluster IPs through Cilium, not kube-proxy. The NAT exemption leaves packets with mark 0x4000 to kube-proxy.',
  run: async (cluster) => {
    const proxies = (await cluster.pods()).filter(
      (pod) => pod.name.startsWith(kubeProxyPrefix) && pod.namespace === namespace
    );
    const broken = proxies.filter(({ ready }) => !ready).map(({ key, node }) => `${key} on ${node}`);
    if (broken.length > 0) return block(`not ready: ${summarizeList(broken)}`);
    const kubeProxies = await cluster.kubeProxies();
    if (proxies.length === 0 && kubeProxies.configurations.length === 0)
      return warn(
        'no pod is named kube-proxy, and none answers on a node: make sure that it runs, and that its clusterCIDR contains the new pod CIDR'
      );
    return worst(
      kubeProxies.unknown.length > 0 ? warn(`configuration not read: ${summarizeList(kubeProxies.unknown)}`) : pass(),
      evaluateMarks(kubeProxies),
      await evaluateDetection(cluster, kubeProxies)
    );
  },
};

function evaluateMarks({ configurations }: KubeProxies): Finding {
  const others = configurations.filter(
    ({ configuration }) => configuration.mode === 'iptables' && configuration.masqueradeBit !== defaultMasqueradeBit
  );
  const texts = others.map(
    ({ configuration, nodes }) => `masqueradeBit ${configuration.masqueradeBit} on ${summarizeList(nodes)}`
  );
  return texts.length === 0
    ? pass()
    : {
        ...block(...texts),
        fix: `Set iptables.masqueradeBit of kube-proxy to ${defaultMasqueradeBit}, and restart it.`,
      };
}

/** Evaluates how kube-proxy detects pods, and what pods on Cilium would lose. */
async function evaluateDetection(cluster: ClusterReader, { configurations }: KubeProxies): Promise<Finding> {
  const { podCidr } = cluster.input;
  const evaluated = configurations.map(({ configuration, source, nodes }) => ({
    ...evaluateLocalTraffic(configuration, podCidr),
    summary: `kube-proxy on ${summarizeList(nodes, 3)} (${source}): ${kubeProxyText(configuration)}`,
    nodes,
  }));
  const problems = evaluated.filter(({ state }) => state !== 'same');
  if (problems.length === 0) return pass(...evaluated.map(({ summary }) => summary));
  const services = nodeLocalServices(await cluster.services());
  const lost =
    services.length > 0 && problems.some(({ state }) => state === 'differs')
      ? `pods on Cilium lose these services with externalTrafficPolicy Local on nodes without one of their pods: ${summarizeList(services)}`
      : '';
  const evidence = [
    ...problems.map(({ text, nodes, summary }) => `${text}, on ${summarizeList(nodes, 3)}: ${summary}`),
    ...(lost === '' ? [] : [lost]),
  ];
  const invalid = problems.some(({ state }) => state === 'invalid');
  const source = await cluster.canalFacts();
  const needed = services.length > 0;
  const fix =
    source && localTrafficAdvice({ oldCidr: source.podCidr, podCidr, others: await nonPodNetworks(cluster), needed });
  return {
    ...(invalid || lost !== '' ? block(...evidence) : warn(...evidence)),
    ...(fix !== undefined && { fix }),
  };
}

/** Returns the addresses of nodes and services. */
async function nonPodNetworks(cluster: ClusterReader): Promise<NamedNetwork[]> {
  return (await apiNetworks(cluster)).filter(({ owner }) => owner.startsWith('node ') || owner.startsWith('service'));
}
