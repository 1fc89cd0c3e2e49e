import { failure } from '../support/failures.ts';

/** A CNI network configuration list, as far as it matters here. */
export interface ConfList {
  cniVersion: string;
  name: string;
  plugins: { type: string; [key: string]: unknown }[];
}

/** Plugins that wire a pod; the others are chained after one of them. */
const wiring = ['calico', 'flannel'];

/**
 * The CNI file for nodes that Cilium owns: Cilium, and after it what Canal's own file chains – portmap and bandwidth in
 * its manifest. Without these, while kube-proxy stays, host ports and the annotations kubernetes.io/ingress-bandwidth and
 * egress-bandwidth would silently stop working. (Cilium itself offers portmap as a chaining mode, and no bandwidth.)
 *
 * It keeps the name of Canal's network. Plugins find what they set up by it, and the runtime takes a pod's network down
 * with the file that is there at that moment: under another name, the host ports of pods that were wired before a flip
 * would stay behind and catch the traffic of their successors.
 *
 * @param template Canal's `cni_network_config`, in which its installer replaces words such as `__CNI_MTU__`.
 * @throws SourceNotFound when that is no CNI configuration.
 */
export function cniChain(template: string | undefined, where: string): ConfList {
  let parsed: Partial<ConfList> | null;
  try {
    // Some of the words stand for numbers, outside quotes.
    const text = (template ?? '').replaceAll(/(:\s*)__[A-Z_]+__/g, '$10');
    parsed = JSON.parse(text) as Partial<ConfList> | null;
  } catch {
    throw failure('SourceNotFound', `${where} has no readable cni_network_config`);
  }
  const plugins = parsed?.plugins;
  if (typeof parsed?.name !== 'string' || !Array.isArray(plugins))
    throw failure('SourceNotFound', `${where}: cni_network_config has no name or no plugins`);
  const chained = plugins.filter(({ type }) => !wiring.includes(type));
  return { cniVersion: '1.0.0', name: parsed.name, plugins: [{ type: 'cilium-cni' }, ...chained] };
}
