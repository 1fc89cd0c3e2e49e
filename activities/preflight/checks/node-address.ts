import type { V1DaemonSet, V1Node } from '@kubernetes/client-node';
import { summarizeList } from '../../../model/summarize.ts';
import { contains } from '../../../model/networks.ts';
import { block, inspectionRemark, pass, worst, type PreflightCheck } from '../check.ts';
import { internalAddress, type HostFacts } from '../host-facts.ts';

/** Checks that each node keeps its address when Cilium adds an interface. */
export const nodeAddress: PreflightCheck = {
  ensures:
    'Calico cannot detect an address of a Cilium interface as the address of a node, and each InternalIP is on an interface of its node.',
  verdicts:
    'Blocks when Calico detects node addresses by a method that can select an interface of Cilium, or when an InternalIP is on no interface of its node.',
  fix: 'Set IP_AUTODETECTION_METHOD of calico-node to kubernetes-internal-ip, and set --node-ip of the kubelet to an address of the node.',
  rationale:
    'The method first-found can select cilium_host; the node then announces that address, and loses its connections (DB Schenker, for two minutes).',
  run: async ({ canal, nodes, hosts }) => {
    const unsafeMethod = findUnsafeMethod((await canal())?.daemonSet);
    const facts = await hosts();
    const lost = (await nodes()).filter((node) => lacksInternalAddress(node, facts?.get(node.metadata?.name ?? '')));
    return worst(
      unsafeMethod !== undefined
        ? block(`calico-node detects node addresses by the method ${unsafeMethod}`)
        : pass('Calico cannot detect an address of a Cilium interface as the address of a node'),
      lost.length > 0
        ? block(
            `InternalIP on no interface of its node: ${summarizeList(lost.map((node) => `${node.metadata?.name} ${internalAddress(node)}`))}`
          )
        : pass(
            facts === undefined
              ? `InternalIPs not checked${inspectionRemark(facts)}`
              : 'every InternalIP is on an interface of its node'
          )
    );
  },
};

/** Returns the method by which Calico detects node addresses, if it can select an interface of Cilium. */
function findUnsafeMethod(daemonSet: V1DaemonSet | undefined): string | undefined {
  const containers = daemonSet?.spec?.template.spec?.containers ?? [];
  const env = containers.find(({ name }) => name === 'calico-node')?.env ?? [];
  const value = (name: string): string | undefined => env.find((variable) => variable.name === name)?.value;
  // Canal's manifest disables Calico's own routing, and with it the detection (calico node/pkg/lifecycle/startup).
  if (value('CALICO_NETWORKING_BACKEND') === 'none' || value('IP') !== 'autodetect') return undefined;
  const method = value('IP_AUTODETECTION_METHOD') ?? 'first-found';
  return /^kubernetes-internal-ip|^skip-interface=.*cilium|^cidr=|^interface=/.test(method) ? undefined : method;
}

/** Returns true when the InternalIP of a node is on none of its interfaces; false when they could not be read. */
function lacksInternalAddress(node: V1Node, host: HostFacts | undefined): boolean {
  const address = internalAddress(node);
  if (host === undefined || host.unread !== undefined || address === undefined) return false;
  return !host.links.some(({ addresses = [] }) =>
    addresses.some((interfaceAddress) => contains(`${interfaceAddress.split('/')[0]}/32`, address))
  );
}
