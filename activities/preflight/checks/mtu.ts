import type { MigrationInput } from '../../../model/input.ts';
import { summarizeList } from '../../../model/summarize.ts';
import { readConfiguredMtu } from '../../canal/installer.ts';
import { block, pass, warn, worst, type Finding, type PreflightCheck } from '../check.ts';
import type { ClusterReader } from '../cluster-reader.ts';
import { findInterface, internalAddress, type HostFacts, type HostLink } from '../host-facts.ts';

/** Bytes that VXLAN over IPv4 adds to a packet. */
const vxlanBytes = 50;

/**
 * Interfaces that Cilium ignores when it detects the MTU at the end: its own, those of other networks, and those
 * without a way out of the node (cilium pkg/datapath/linux/devices_controller.go, v1.20).
 */
const ignoredNames = /^(cilium_|lxc|cni|docker|flannel|cali|veth)/;
const ignoredKinds = ['bridge', 'openvswitch', 'dummy', 'ipoib'];

/** Checks that packets of both overlays fit through the underlying network. */
export const mtu: PreflightCheck = {
  ensures:
    'All nodes have the same MTU, the MTU of Flannel leaves room for its header, values.MTU fits the nodes, and pods on Cilium send no larger packets than pods on Canal.',
  verdicts:
    'Blocks when values.MTU is larger than the MTU of a node, and when Cilium would detect an MTU with which its pods send larger packets than those of Canal; warns when values.MTU has that result, when nodes differ, and when the interface of Flannel leaves no room for its header.',
  fix: 'Set values.MTU to the smallest MTU of the nodes: Cilium subtracts 50 bytes for its tunnel. Correct the MTU of interfaces that differ.',
  rationale:
    "With a wrong MTU, small packets arrive and large ones are lost (hcloud-k8s#450). Canal's veth_mtu is set by hand where detection is wrong: in VPNs and nested overlays.",
  run: async (cluster) => {
    const facts = await cluster.hosts();
    if (facts === undefined) return warn('not checked: nodeInspection is off');
    const uplinks = await findUplinks(cluster, facts);
    const sizes = [...new Set([...uplinks.values()].map(({ mtu: size }) => size))].sort((a, b) => a - b);
    const [smallest = Infinity] = sizes;
    const configured = configuredMtu(cluster.input);
    const large = [...facts].flatMap(([node, host]) =>
      flannelLinks(host)
        .filter(({ mtu: size }) => size > (uplinks.get(node)?.mtu ?? Infinity) - vxlanBytes)
        .map(({ name, mtu: size }) => `${node} ${name} ${size}`)
    );
    return worst(
      configured > smallest
        ? block(`values.MTU is ${configured}, but the smallest MTU of the nodes is ${smallest}`)
        : pass(`MTU of the nodes: ${sizes.join(', ')}`),
      await comparePods(cluster, facts, uplinks),
      sizes.length > 1
        ? warn(`nodes differ: ${summarizeList([...uplinks].map(([node, { mtu: size }]) => `${node} ${size}`))}`)
        : pass(),
      large.length > 0
        ? warn(`the interface of Flannel leaves no room for its header: ${summarizeList(large)}`)
        : pass()
    );
  },
};

/** Compares the packets of pods on both networks, node by node. */
async function comparePods(
  { canal, connection, input }: ClusterReader,
  facts: ReadonlyMap<string, HostFacts>,
  uplinks: ReadonlyMap<string, HostLink>
): Promise<Finding> {
  const source = await canal();
  const byHand = source && (await readConfiguredMtu(connection, source));
  const configured = configuredMtu(input);
  const larger = [...facts].flatMap(([node, host]) => {
    const limit = Math.min(byHand ?? Infinity, ...flannelLinks(host).map(({ mtu: size }) => size));
    const detected = input.values['devices'] === undefined ? detectedMtu(host) : uplinks.get(node)?.mtu;
    const pods = (configured > 0 ? configured : (detected ?? 0)) - vxlanBytes;
    return pods > limit ? [{ limit, text: `${node} (Cilium ${pods}, Canal ${limit})` }] : [];
  });
  if (larger.length === 0)
    return pass(...(byHand === undefined ? [] : [`MTU of pods on Canal, set by hand: ${byHand}`]));
  const limitedBy = byHand === undefined ? "the MTU of Flannel's interface" : 'veth_mtu of Canal';
  const text = `pods on Cilium would send larger packets than ${limitedBy} allows: ${summarizeList(larger.map((entry) => entry.text))}`;
  const fix = `Set values.MTU to ${Math.min(...larger.map(({ limit }) => limit)) + vxlanBytes}: Cilium subtracts ${vxlanBytes} bytes for its tunnel.`;
  return { ...(configured > 0 ? warn(text) : block(text)), fix };
}

function configuredMtu({ values }: MigrationInput): number {
  return Number(values['MTU'] ?? 0);
}

function flannelLinks({ links }: HostFacts): HostLink[] {
  return links.filter(({ name }) => name.startsWith('flannel.'));
}

/** Returns the MTU that Cilium detects: the smallest of the interfaces that lead out of the node. */
function detectedMtu({ links, routes }: HostFacts): number | undefined {
  const sizes = links
    .filter(({ name, up, addresses = [], kind = '' }) => {
      const isDefault = routes.includes(`0.0.0.0/0 dev ${name}`);
      const ignored = ignoredNames.test(name) || ignoredKinds.includes(kind) || (kind === 'veth' && !isDefault);
      return up && addresses.length > 0 && !ignored;
    })
    .map(({ mtu: size }) => size);
  return sizes.length === 0 ? undefined : Math.min(...sizes);
}

/** Returns, by node, the interface that has the node's address. */
async function findUplinks(
  { nodes }: ClusterReader,
  facts: ReadonlyMap<string, HostFacts>
): Promise<Map<string, HostLink>> {
  const uplinks = new Map<string, HostLink>();
  for (const node of await nodes()) {
    const name = node.metadata?.name ?? '';
    const uplink = findInterface(facts.get(name), internalAddress(node));
    if (uplink !== undefined) uplinks.set(name, uplink);
  }
  return uplinks;
}
