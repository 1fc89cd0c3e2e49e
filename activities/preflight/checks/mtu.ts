import { summarizeList } from '../../../model/summarize.ts';
import { contains } from '../../../model/networks.ts';
import { block, pass, warn, worst, type PreflightCheck } from '../check.ts';
import type { ClusterReader } from '../cluster-reader.ts';
import { internalAddress } from '../host-facts.ts';

/** Bytes that VXLAN over IPv4 adds to a packet. */
const vxlanBytes = 50;

/** Checks that packets of both overlays fit through the underlying network. */
export const mtu: PreflightCheck = {
  ensures: 'All nodes have the same MTU, the MTU of Flannel leaves room for its header, and values.MTU fits the nodes.',
  verdicts:
    'Blocks when values.MTU is larger than the MTU of a node; warns when nodes differ, or when the interface of Flannel leaves no room for its header.',
  fix: 'Set values.MTU to the smallest MTU of the nodes: Cilium subtracts 50 bytes for its tunnel. Correct the MTU of interfaces that differ.',
  rationale: 'With a wrong MTU, small packets arrive and large ones are lost (hcloud-k8s#450).',
  run: async (cluster) => {
    const facts = await cluster.hosts();
    if (facts === undefined) return warn('not checked: nodeInspection is off');
    const uplinks = await uplinkMtus(cluster, facts);
    const sizes = [...new Set(uplinks.values())].sort((a, b) => a - b);
    const [smallest = Infinity] = sizes;
    const configuredMtu = Number(cluster.input.values['MTU'] ?? 0);
    const large = [...facts].flatMap(([node, { links }]) =>
      links
        .filter(
          ({ name, mtu: size }) => name.startsWith('flannel.') && size > (uplinks.get(node) ?? Infinity) - vxlanBytes
        )
        .map(({ name, mtu: size }) => `${node} ${name} ${size}`)
    );
    return worst(
      configuredMtu > smallest
        ? block(`values.MTU is ${configuredMtu}, but the smallest MTU of the nodes is ${smallest}`)
        : pass(`MTU of the nodes: ${sizes.join(', ')}`),
      sizes.length > 1
        ? warn(`nodes differ: ${summarizeList([...uplinks].map(([node, size]) => `${node} ${size}`))}`)
        : pass(),
      large.length > 0
        ? warn(`the interface of Flannel leaves no room for its header: ${summarizeList(large)}`)
        : pass()
    );
  },
};

/** Returns, by node, the MTU of the interface that has the node's address. */
async function uplinkMtus(
  { nodes }: ClusterReader,
  facts: NonNullable<Awaited<ReturnType<ClusterReader['hosts']>>>
): Promise<Map<string, number>> {
  const mtuByNode = new Map<string, number>();
  for (const node of await nodes()) {
    const name = node.metadata?.name ?? '';
    const address = internalAddress(node);
    const uplink = facts
      .get(name)
      ?.links.find(({ addresses = [] }) =>
        addresses.some((interfaceAddress) => contains(`${interfaceAddress.split('/')[0]}/32`, address))
      );
    if (uplink !== undefined) mtuByNode.set(name, uplink.mtu);
  }
  return mtuByNode;
}
