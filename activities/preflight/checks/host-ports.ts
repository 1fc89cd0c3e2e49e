import { summarizeList } from '../../../model/summarize.ts';
import { block, pass, warn, worst, type Finding, type PreflightCheck } from '../check.ts';
import { buildCniChain } from '../../canal/cni-chain.ts';
import { readCanalConfig } from '../../canal/detect.ts';
import type { HostFacts } from '../host-facts.ts';

/** Annotations that limit a pod's bandwidth (kubernetes.io, "Support traffic shaping"). */
const bandwidthAnnotations = ['kubernetes.io/ingress-bandwidth', 'kubernetes.io/egress-bandwidth'];

/** Checks that host ports and bandwidth limits keep working. */
export const hostPorts: PreflightCheck = {
  ensures:
    'Where pods have host ports or bandwidth limits, the CNI file of Canal chains portmap and bandwidth; the CNI file of Cilium adopts them, and the plugins on the nodes support its version.',
  verdicts:
    'Blocks when pods use one of them and the file does not chain its plugin, and when a chained plugin on a node does not support the version of the CNI file of Cilium; warns when a plugin does not report its versions.',
  fix: 'Chain the plugin in cni_network_config of the ConfigMap of Canal, as its manifest does, and restart the pods of Canal, which write the file.',
  rationale:
    'Without kube-proxy replacement, Cilium implements no host ports: ingress controllers on ports 80 and 443 would be unreachable (rancher/rke2#2325).',
  run: async ({ connection, canal, cniPaths, pods, hosts }) => {
    const source = await canal();
    if (source === undefined) return block('Canal is not installed');
    const { configMap, namespace } = source;
    const config = await readCanalConfig(connection, source);
    const { plugins, cniVersion } = buildCniChain(
      config?.['cni_network_config'],
      `ConfigMap ${namespace}/${configMap}`
    );
    const chained = plugins.map(({ type }) => type);
    const running = (await pods()).filter(({ finished }) => !finished);
    const withPorts = running.filter((pod) => pod.hostPorts.length > 0);
    const limited = running.filter(({ annotations }) =>
      bandwidthAnnotations.some((key) => annotations[key] !== undefined)
    );
    const ports = summarizeList(withPorts.map(({ key, hostPorts: numbers }) => `${key} (${numbers.join(', ')})`));
    return worst(
      pass(describeChain(chained.slice(1), (await cniPaths())?.binaryFolder)),
      withPorts.length > 0 && !chained.includes('portmap')
        ? block(`portmap is not chained, but pods have host ports: ${ports}`)
        : pass(),
      limited.length > 0 && !chained.includes('bandwidth')
        ? block(
            `bandwidth is not chained, but pods have bandwidth limits: ${summarizeList(limited.map(({ key }) => key))}`
          )
        : pass(),
      evaluateVersions(await hosts(), chained.slice(1), cniVersion)
    );
  },
};

/** Describes the chained plugins, and where nodes need them that Canal's installer does not reach. */
function describeChain(chained: readonly string[], folder = 'the folder of CNI plugins'): string {
  const names = chained.join(', ');
  return names === ''
    ? "Canal's CNI file chains nothing"
    : `Canal's CNI file chains ${names}. Canal's installer writes these plugins to ${folder}, but not on nodes that join ` +
        'after the cutover: without them, no pod of such a node gets a network';
}

/** Evaluates whether the plugins on the nodes support the version of the CNI file that Cilium writes. */
function evaluateVersions(
  hosts: ReadonlyMap<string, HostFacts> | undefined,
  chained: readonly string[],
  cniVersion: string
): Finding {
  const reports = [...(hosts ?? [])].flatMap(([node, { chainedPlugins = {} }]) =>
    Object.entries(chainedPlugins)
      .filter(([plugin]) => chained.includes(plugin))
      .map(([plugin, report]) => ({ ...report, name: `${plugin} on ${node}` }))
  );
  const old = reports.filter(({ versions }) => versions !== undefined && !versions.includes(cniVersion));
  const silent = reports.filter(({ versions }) => versions === undefined);
  return worst(
    old.length > 0
      ? {
          ...block(`CNI version ${cniVersion} is not supported by ${summarizeList(old.map(({ name }) => name))}`),
          fix: 'Update the CNI plugins on the nodes (containernetworking/plugins v1.0.0 or newer).',
        }
      : pass(),
    silent.length > 0
      ? {
          ...warn(`versions not known: ${summarizeList(silent.map(({ name, error }) => `${name} (${error})`))}`),
          fix: `Make sure that these plugins support CNI version ${cniVersion}: run them with CNI_COMMAND=VERSION.`,
        }
      : pass()
  );
}
