import { summarizeList } from '../../../model/summarize.ts';
import { contains } from '../../../model/networks.ts';
import { block, pass, worst, type PreflightCheck } from '../check.ts';
import { internalAddress } from '../host-facts.ts';

/** Checks that each node keeps its address when Cilium adds an interface. */
export const nodeAddress: PreflightCheck = {
  ensures:
    'Calico will not take an address of Cilium’s interface for a node’s own, and each InternalIP is on an interface.',
  verdicts:
    'Blocks when Calico detects node addresses by itself, or when a node’s InternalIP is on none of its interfaces.',
  fix: 'Set IP_AUTODETECTION_METHOD of calico-node to kubernetes-internal-ip, and give the kubelet a --node-ip that the node has.',
  rationale: 'first-found picks cilium_host: peers move there and the cluster is cut off (DB Schenker, two minutes).',
  run: async ({ canal, nodes, hosts }) => {
    const containers = (await canal())?.daemonSet.spec?.template.spec?.containers ?? [];
    const env = containers.find(({ name }) => name === 'calico-node')?.env ?? [];
    const value = (name: string): string | undefined => env.find((variable) => variable.name === name)?.value;
    // Canal's manifest disables Calico's own routing, and with it the detection (calico node/pkg/lifecycle/startup).
    const detects = value('CALICO_NETWORKING_BACKEND') !== 'none' && value('IP') === 'autodetect';
    const method = value('IP_AUTODETECTION_METHOD') ?? 'first-found';
    const unsafe = detects && !/^kubernetes-internal-ip|^skip-interface=.*cilium|^cidr=|^interface=/.test(method);
    const facts = await hosts();
    const lost = (await nodes()).filter((node) => {
      const host = facts?.get(node.metadata?.name ?? '');
      const address = internalAddress(node);
      if (host === undefined || host.unread !== undefined || address === undefined) return false;
      return !host.links.some(({ addresses = [] }) =>
        addresses.some((interfaceAddress) => contains(`${interfaceAddress.split('/')[0]}/32`, address))
      );
    });
    return worst(
      unsafe
        ? block(`calico-node detects the nodes' addresses by ${method}`)
        : pass('Calico detects no node addresses'),
      lost.length > 0
        ? block(
            `on none of the node's interfaces: ${summarizeList(lost.map((node) => `${node.metadata?.name} ${internalAddress(node)}`))}`
          )
        : pass('every InternalIP is on an interface of its node')
    );
  },
};
