import { summarizeList } from '../../../model/summarize.ts';
import { block, pass, worst, type PreflightCheck } from '../check.ts';
import { buildCniChain } from '../../canal/cni-chain.ts';

/** Annotations that limit a pod's bandwidth (kubernetes.io, "Support traffic shaping"). */
const bandwidthAnnotations = ['kubernetes.io/ingress-bandwidth', 'kubernetes.io/egress-bandwidth'];

/** Checks that host ports and bandwidth limits keep working. */
export const hostPorts: PreflightCheck = {
  ensures:
    'Where pods have host ports or bandwidth limits, Canal’s CNI file chains portmap and bandwidth, which Cilium’s takes over.',
  verdicts: 'Blocks when pods have them and the file does not chain the plugin.',
  fix: 'Chain the plugin in cni_network_config of Canal’s ConfigMap, as its manifest does, and have its pods write the file anew.',
  rationale:
    'Without kube-proxy replacement Cilium programs no host ports: ingress controllers on ports 80 and 443 would die (rancher/rke2#2325).',
  run: async ({ connection, canal, pods }) => {
    const source = await canal();
    if (source === undefined) return block('there is no Canal');
    const { configMap, namespace } = source;
    const { data } = await connection.core.readNamespacedConfigMap({ name: configMap, namespace });
    const { plugins } = buildCniChain(data?.['cni_network_config'], `ConfigMap ${namespace}/${configMap}`);
    const chained = plugins.map(({ type }) => type);
    const running = (await pods()).filter(({ finished }) => !finished);
    const withPorts = running.filter((pod) => pod.hostPorts.length > 0);
    const limited = running.filter(({ annotations }) =>
      bandwidthAnnotations.some((key) => annotations[key] !== undefined)
    );
    const ports = summarizeList(withPorts.map(({ key, hostPorts: numbers }) => `${key} (${numbers.join(', ')})`));
    return worst(
      pass(`Canal's CNI file chains ${chained.slice(1).join(', ') || 'nothing'}`),
      withPorts.length > 0 && !chained.includes('portmap') ? block(`no portmap for host ports of ${ports}`) : pass(),
      limited.length > 0 && !chained.includes('bandwidth')
        ? block(`no bandwidth for ${summarizeList(limited.map(({ key }) => key))}`)
        : pass()
    );
  },
};
