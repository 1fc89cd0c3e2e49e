import { z } from 'zod';
import { formatProblems } from '../../model/problems.ts';
import { failure } from '../support/failures.ts';

/** A plugin of a CNI network configuration list. */
export interface CniPlugin {
  type: string;
  [key: string]: unknown;
}

/** Longest name of a plugin or key that a message quotes, in characters. */
const maxQuotedLength = 60;

const count = z.int().nonnegative();

/** Parameter of the network in /proc/sys, with dots. Slashes and empty parts could lead out of the network's parameters. */
const networkParameter = z
  .string()
  .regex(
    /^net\.(core|ipv4|ipv6|netfilter)(\.[A-Za-z0-9_-]+)+$/,
    'must be a parameter below net, such as net.core.somaxconn'
  );

/**
 * Plugins that may follow the one that creates a pod's interface, with the keys that they may have. Every container
 * runtime executes them as root. Refused on purpose: iptables arguments of portmap (`conditionsV4`), the folder and the
 * address of tuning (`dataDir`, `mac`), and every `ipam`.
 */
const chainedPlugins: Readonly<Record<string, z.ZodType<CniPlugin>>> = {
  portmap: z.strictObject({
    type: z.literal('portmap'),
    snat: z.boolean().optional(),
    masqAll: z.boolean().optional(),
    markMasqBit: count.max(31).optional(),
    externalSetMarkChain: z
      .string()
      .regex(/^[A-Za-z][\w-]{0,27}$/, 'must be the name of a chain')
      .optional(),
    backend: z.enum(['iptables', 'nftables']).optional(),
    capabilities: z.strictObject({ portMappings: z.boolean() }).optional(),
  }),
  bandwidth: z.strictObject({
    type: z.literal('bandwidth'),
    ingressRate: count.optional(),
    ingressBurst: count.optional(),
    egressRate: count.optional(),
    egressBurst: count.optional(),
    capabilities: z.strictObject({ bandwidth: z.boolean() }).optional(),
  }),
  tuning: z.strictObject({
    type: z.literal('tuning'),
    sysctl: z.record(networkParameter, z.string().regex(/^[\w. \t-]{1,64}$/, 'must be a short value')).optional(),
    mtu: count.max(65_535).optional(),
    txQLen: count.optional(),
    promisc: z.boolean().optional(),
    allmulti: z.boolean().optional(),
  }),
};

/**
 * Parses a chained plugin.
 * @param location location of Canal's ConfigMap, for messages.
 * @returns the plugin, with permitted keys only.
 * @throws SourceNotFound naming the plugin and each key that is not permitted.
 */
export function parseChainedPlugin(plugin: unknown, location: string): CniPlugin {
  const type = readType(plugin);
  const schema = type !== undefined && Object.hasOwn(chainedPlugins, type) ? chainedPlugins[type] : undefined;
  if (schema === undefined) {
    const permitted = Object.keys(chainedPlugins).join(', ');
    throw refusal(location, `chains ${quote(type)}, but only ${permitted} can be adopted for pods on Cilium`);
  }
  const result = schema.safeParse(plugin);
  if (result.success) return result.data;
  const problems = formatProblems(result.error, 'the plugin').map((problem) => quote(problem, 4 * maxQuotedLength));
  throw refusal(location, `chains ${type} with keys or values that cannot be adopted: ${problems.join('; ')}`);
}

/** Returns the type of a plugin; undefined when it has none. */
export function readType(plugin: unknown): string | undefined {
  if (typeof plugin !== 'object' || plugin === null || !Object.hasOwn(plugin, 'type')) return undefined;
  const { type } = plugin as { type: unknown };
  return typeof type === 'string' ? type : undefined;
}

function refusal(location: string, problem: string): Error {
  const advice = 'change it in cni_network_config, and restart the pods of Canal, which write the file';
  return failure('SourceNotFound', `${location}: the CNI file of Canal ${problem}; ${advice}`);
}

/** Quotes a text of the configuration: visible characters only, and not longer than a line. */
function quote(text: string | undefined, maxLength = maxQuotedLength): string {
  if (text === undefined) return 'a plugin without a type';
  const visible = text.replaceAll(/[^\x20-\x7e]/g, '?');
  return visible.length > maxLength ? `${visible.slice(0, maxLength)}…` : visible;
}
