import { summarizeList } from '../../../model/summarize.ts';
import { block, pass, worst, type PreflightCheck } from '../check.ts';
import { buildCniChain } from '../../canal/cni-chain.ts';
import { readCanalConfig } from '../../canal/detect.ts';

/** Annotations that limit a pod's bandwidth (kubernetes.io, "Support traffic shaping"). */
const bandwidthAnnotations = ['kubernetes.io/ingress-bandwidth', 'kubernetes.io/egress-bandwidth'];

/** Checks that host ports and bandwidth limits keep working. */
export const hostPorts: PreflightCheck = {
  ensures:
    'Where pods have host ports or bandwidth limits, the CNI file of Canal chains portmap and bandwidth; the CNI file of Cilium adopts them.',
  verdicts: 'Blocks when pods use one of them and the file does not chain its plugin.',
  fix: 'Chain the plugin in cni_network_config of the ConfigMap of Canal, as its manifest does, and restart the pods of Canal, which write the file.',
  rationale:
    'Without kube-proxy replacement, Cilium implements no host ports: ingress controllers on ports 80 and 443 would be unreachable (rancher/rke2#2325).',
  run: async ({ connection, canal, pods }) => {
    const source = await canal();
    if (source === undefined) return block('Canal is not installed');
    const { configMap, namespace } = source;
    const config = await readCanalConfig(connection, source);
    const { plugins } = buildCniChain(config?.['cni_network_config'], `ConfigMap ${namespace}/${configMap}`);
    const chained = plugins.map(({ type }) => type);
    const running = (await pods()).filter(({ finished }) => !finished);
    const withPorts = running.filter((pod) => pod.hostPorts.length > 0);
    const limited = running.filter(({ annotations }) =>
      bandwidthAnnotations.some((key) => annotations[key] !== undefined)
    );
    const ports = summarizeList(withPorts.map(({ key, hostPorts: numbers }) => `${key} (${numbers.join(', ')})`));
    return worst(
      pass(`Canal's CNI file chains ${chained.slice(1).join(', ') || 'nothing'}`),
      withPorts.length > 0 && !chained.includes('portmap')
        ? block(`portmap is not chained, but pods have host ports: ${ports}`)
        : pass(),
      limited.length > 0 && !chained.includes('bandwidth')
        ? block(
            `bandwidth is not chained, but pods have bandwidth limits: ${summarizeList(limited.map(({ key }) => key))}`
          )
        : pass()
    );
  },
};
