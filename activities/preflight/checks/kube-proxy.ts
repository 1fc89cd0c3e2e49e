import { parse } from 'yaml';
import { summarizeList } from '../../../model/summarize.ts';
import { contains } from '../../../model/networks.ts';
import { ifFound } from '../../kubernetes/errors.ts';
import { ciliumNamespace as namespace } from '../../kubernetes/names.ts';
import { block, pass, warn, type Finding, type PreflightCheck } from '../check.ts';

/** Name of kube-proxy's DaemonSet and ConfigMap, as in kubeadm. */
const name = 'kube-proxy';

/** Checks that services work the same on both networks. */
export const kubeProxy: PreflightCheck = {
  ensures:
    'kube-proxy runs, which serves node ports during and after the migration, and treats addresses of the new pod CIDR as pods of the cluster.',
  verdicts:
    'Blocks when one of its pods is not ready; warns when kube-proxy or its configuration is not found, and when it detects pods by a clusterCIDR that does not contain the new pod CIDR.',
  fix: 'Repair kube-proxy. Set clusterCIDR in its configuration to the old and the new pod CIDR, or detectLocalMode to NodeCIDR, and restart it.',
  rationale:
    'Cilium implements no node ports here. kube-proxy masquerades traffic that it takes for traffic from outside the cluster, so that a server sees the address of a node instead of a pod (kubernetes pkg/proxy/iptables). Pods on Cilium reach service addresses through Cilium, not kube-proxy.',
  run: async ({ connection, input, pods }) => {
    const proxies = (await pods()).filter((pod) => pod.name.startsWith(name) && pod.namespace === namespace);
    if (proxies.length === 0)
      return warn(
        'no pod is named kube-proxy: make sure that it runs, and that its clusterCIDR contains the new pod CIDR'
      );
    const broken = proxies.filter(({ ready }) => !ready).map(({ key, node }) => `${key} on ${node}`);
    if (broken.length > 0) return block(`not ready: ${summarizeList(broken)}`);
    const { data } = (await ifFound(connection.core.readNamespacedConfigMap({ name, namespace }))) ?? {};
    if (data?.['config.conf'] === undefined) return warn(`ConfigMap ${namespace}/${name} has no config.conf`);
    return evaluateConfiguration(data['config.conf'], input.podCidr);
  },
};

function evaluateConfiguration(text: string, podCidr: string): Finding {
  const config = (parse(text) ?? {}) as { clusterCIDR?: string; detectLocalMode?: string };
  const { clusterCIDR = '', detectLocalMode = '' } = config;
  const byCidr = detectLocalMode === '' || detectLocalMode === 'ClusterCIDR';
  const clusterCidrs = clusterCIDR.split(',').filter(Boolean);
  if (!byCidr || clusterCidrs.length === 0 || clusterCidrs.some((cidr) => contains(cidr, podCidr)))
    return pass(
      `kube-proxy runs, clusterCIDR ${clusterCIDR || 'unset'}, detectLocalMode ${detectLocalMode || 'unset'}`
    );
  return warn(`clusterCIDR of kube-proxy is ${clusterCIDR}, which does not contain ${podCidr}`);
}
