import { summarizeList } from '../../../model/summarize.ts';
import { blockCount, contains } from '../../../model/networks.ts';
import { block, pass, warn, worst, type PreflightCheck } from '../check.ts';
import { quantity } from '../../kubernetes/pods.ts';
import type { KubernetesObject } from '@kubernetes/client-node';

type CiliumNode = KubernetesObject & { spec?: { ipam?: { podCIDRs?: string[] } } };

/** Number of addresses in a node's range that no pod gets: network, broadcast, cilium_host, health check. */
const reserved = 4;

/** Checks that the new pod CIDR is large enough. */
export const podCidrCapacity: PreflightCheck = {
  ensures:
    'The new pod CIDR has a range for every node, and each range has an address for every pod that the node may run.',
  verdicts:
    'Blocks when there are too few ranges or addresses, or when an earlier run assigned ranges of another CIDR to nodes; warns when less than a quarter of the ranges would remain for new nodes.',
  fix: 'Choose a larger podCidr, or another nodeMaskSize: smaller for more pods per node, larger for more nodes.',
  rationale: 'Pods stay in ContainerCreating on a node that has no range, or whose range is exhausted.',
  run: async ({ input, nodes, list, ciliumIsOurs }) => {
    const all = await nodes();
    const { podCidr, nodeMaskSize } = input;
    const ranges = blockCount(podCidr, nodeMaskSize);
    const addresses = 2 ** (32 - nodeMaskSize) - reserved;
    const large = all.filter(({ status }) => (quantity(status?.allocatable?.['pods']) ?? 0) > addresses);
    const used = (await ciliumIsOurs()) ? await list<CiliumNode>('cilium.io/v2', 'CiliumNode') : [];
    const elsewhere = used.filter(
      ({ spec }) => spec?.ipam?.podCIDRs?.some((cidr) => !contains(podCidr, cidr)) === true
    );
    const capacity = `${podCidr} has ${ranges} node ranges of /${nodeMaskSize}`;
    return worst(
      ranges < all.length
        ? block(`${capacity}, but the cluster has ${all.length} nodes`)
        : pass(`${capacity} for ${all.length} nodes`),
      ranges >= all.length && ranges - all.length < ranges / 4
        ? warn(`${capacity}, of which ${ranges - all.length} would remain for new nodes`)
        : pass(),
      large.length > 0
        ? block(
            `a range of /${nodeMaskSize} has ${addresses} addresses for pods, fewer than the kubelet allows on ` +
              summarizeList(large.map(({ metadata, status }) => `${metadata?.name} (${status?.allocatable?.['pods']})`))
          )
        : pass(`${addresses} addresses per node`),
      elsewhere.length > 0
        ? block(
            `an earlier run assigned ranges of another CIDR to ${summarizeList(elsewhere.map(({ metadata }) => metadata?.name ?? ''))}`
          )
        : pass()
    );
  },
};
