import { failure } from '../support/failures.ts';
import { parseChainedPlugin, readType, type CniPlugin } from './chained-plugins.ts';

/** A CNI network configuration list (conflist), with the fields that this service uses. */
export interface ConfList {
  cniVersion: string;
  name: string;
  plugins: CniPlugin[];
}

/** Plugins that create a pod's interface; other plugins are chained after one of them. */
const interfacePlugins: readonly (string | undefined)[] = ['calico', 'flannel'];

/**
 * Builds the conflist for nodes that Cilium owns: Cilium, followed by the plugins that Canal's own file chains (portmap
 * and bandwidth in its manifest). Without these, host ports and the annotations kubernetes.io/ingress-bandwidth and
 * egress-bandwidth would silently stop working while kube-proxy stays. (Cilium itself offers portmap as a chaining
 * mode, but not bandwidth.)
 *
 * The conflist keeps the name of Canal's network. Plugins find their own state by that name, and the runtime tears down
 * a pod's network with the file that is present at that moment. Under another name, the host ports of pods that started
 * before a flip would stay behind and catch the traffic of their successors.
 *
 * @param template Canal's `cni_network_config`, in which its installer replaces placeholders such as `__CNI_MTU__`.
 * @param location location of the template, for messages.
 * @throws SourceNotFound when the template is not a valid CNI configuration, or when it chains a plugin, or a key of one,
 * that is not permitted.
 */
export function buildCniChain(template: string | undefined, location: string): ConfList {
  const { name, plugins } = parseTemplate(template, location);
  const chained = plugins
    .filter((plugin) => !interfacePlugins.includes(readType(plugin)))
    .map((plugin) => parseChainedPlugin(plugin, location));
  return { cniVersion: '1.0.0', name, plugins: [{ type: 'cilium-cni' }, ...chained] };
}

/** Folder in which host-local keeps its addresses (containernetworking/plugins plugins/ipam/host-local/backend/disk). */
const defaultAddressStore = '/var/lib/cni/networks';

/** Names of networks that CNI accepts (containernetworking/cni pkg/utils). */
const networkName = /^[a-zA-Z0-9][\w.-]{0,252}$/;

/** Absolute paths without `..`: scripts on the nodes delete files in this folder. */
const folderPath = /^(\/(?!\.\.?(\/|$))[\w.-]+)+\/*$/;

/**
 * Returns the folder of a node in which the source's IPAM keeps one file for each address of a pod; undefined when its
 * IPAM is not host-local.
 * @param template as in {@link buildCniChain}.
 * @param location location of the template, for messages.
 * @throws SourceNotFound when the template is not a valid CNI configuration.
 */
export function findAddressStore(template: string | undefined, location: string): string | undefined {
  const { name, plugins } = parseTemplate(template, location);
  const source = plugins.find((plugin) => interfacePlugins.includes(readType(plugin))) as CniPlugin | undefined;
  const ipam = source?.['ipam'] as { type?: unknown; dataDir?: unknown } | null | undefined;
  if (ipam?.type !== 'host-local') return undefined;
  const folder = ipam.dataDir ?? defaultAddressStore;
  if (typeof folder !== 'string' || !folderPath.test(folder)) {
    const advice = 'it must be an absolute path without ".."';
    throw failure('SourceNotFound', `${location}: the ipam of cni_network_config has no valid dataDir; ${advice}`);
  }
  return `${folder.replace(/\/+$/, '')}/${name}`;
}

function parseTemplate(template: string | undefined, location: string): { name: string; plugins: unknown[] } {
  let parsed: { name?: unknown; plugins?: unknown } | null;
  try {
    // Some placeholders stand for numbers, outside quotes.
    const text = (template ?? '').replaceAll(/(:\s*)__[A-Z_]+__/g, '$10');
    parsed = JSON.parse(text) as typeof parsed;
  } catch {
    throw failure('SourceNotFound', `${location} has no readable cni_network_config`);
  }
  const plugins = parsed?.plugins;
  if (typeof parsed?.name !== 'string' || !Array.isArray(plugins))
    throw failure('SourceNotFound', `${location}: cni_network_config has no name or no plugins`);
  if (!networkName.test(parsed.name))
    throw failure('SourceNotFound', `${location}: cni_network_config has no valid name`);
  return { name: parsed.name, plugins };
}
