import type { V1DaemonSet, V1Node } from '@kubernetes/client-node';
import { cutoverValues } from '../../../model/helm-values.ts';
import { summarizeList } from '../../../model/summarize.ts';
import { readFlannelAddressing } from '../../canal/installer.ts';
import { block, inspectionRemark, pass, warn, worst, type Finding, type PreflightCheck } from '../check.ts';
import type { ClusterReader } from '../cluster-reader.ts';
import { findInterface, internalAddress, type HostFacts } from '../host-facts.ts';

type Hosts = ReadonlyMap<string, HostFacts> | undefined;

/** Checks that each node keeps its address, and the interface of its overlay, when Cilium adds its own interfaces. */
export const nodeAddress: PreflightCheck = {
  ensures:
    'Calico cannot detect an address of a Cilium interface as the address of a node, each InternalIP is on an interface of its node that Cilium does not ignore, and the overlay of Flannel uses the same interface.',
  verdicts:
    'Blocks when Calico detects node addresses by a method that can select an interface of Cilium, when an InternalIP is on no interface of its node, or on one that Cilium ignores from the cutover on, and when Flannel uses an address of another interface; warns when it uses another address of the same interface.',
  fix: 'Set IP_AUTODETECTION_METHOD of calico-node to kubernetes-internal-ip, and set --node-ip of the kubelet to an address of the node.',
  rationale:
    'The method first-found can select cilium_host; the node then announces that address, and loses its connections (DB Schenker, for two minutes). Cilium sends its overlay between InternalIPs, Flannel between the addresses in its annotation: where these differ, traffic of pods moves to another network card, which may be public or slow.',
  run: async (cluster) => {
    const hosts = await cluster.hosts();
    const nodes = await cluster.nodes();
    const unsafeMethod = findUnsafeMethod((await cluster.canal())?.daemonSet);
    const lost = nodes.filter((node) => lacksInternalAddress(node, hosts?.get(node.metadata?.name ?? '')));
    return worst(
      unsafeMethod !== undefined
        ? block(`calico-node detects node addresses by the method ${unsafeMethod}`)
        : pass('Calico cannot detect an address of a Cilium interface as the address of a node'),
      lost.length > 0
        ? block(
            `InternalIP on no interface of its node: ${summarizeList(lost.map((node) => `${node.metadata?.name} ${internalAddress(node)}`))}`
          )
        : pass(
            hosts === undefined
              ? `InternalIPs not checked${inspectionRemark(hosts)}`
              : 'every InternalIP is on an interface of its node'
          ),
      evaluateIgnoredInterfaces(cluster, nodes, hosts),
      await compareOverlays(cluster, nodes, hosts)
    );
  },
};

/** Evaluates whether Cilium ignores the interface of a node from the cutover on. */
function evaluateIgnoredInterfaces({ input }: ClusterReader, nodes: readonly V1Node[], hosts: Hosts): Finding {
  const { devices } = cutoverValues(input);
  const prefixes = (Array.isArray(devices) ? devices : [])
    .map(String)
    .filter((device) => device.startsWith('!'))
    .map((device) => device.slice(1).replace(/\+$/, ''));
  const ignored = nodes.flatMap((node) => {
    const name = node.metadata?.name ?? '';
    const uplink = findInterface(hosts?.get(name), internalAddress(node))?.name;
    return uplink !== undefined && prefixes.some((prefix) => uplink.startsWith(prefix)) ? [`${name} ${uplink}`] : [];
  });
  if (ignored.length === 0) return pass();
  return {
    ...block(`Cilium ignores the interface of the node from the cutover on: ${summarizeList(ignored)}`),
    fix: 'Name the interfaces of the nodes in values.devices, such as ["veth0"] or ["eth+"]: Cilium then uses these.',
  };
}

/** Compares the addresses that Flannel's overlay uses with the InternalIPs, which Cilium's will use. */
async function compareOverlays(
  { canal, connection }: ClusterReader,
  nodes: readonly V1Node[],
  hosts: Hosts
): Promise<Finding> {
  const source = await canal();
  if (source === undefined) return pass();
  const { annotation, configuredInterface } = await readFlannelAddressing(connection, source);
  const changes = nodes.flatMap((node) => findAddressChange(node, hosts, annotation));
  const texts = (sameInterface: boolean): string[] =>
    changes.filter((change) => change.sameInterface === sameInterface).map(({ text }) => text);
  const [elsewhere, near] = [texts(false), texts(true)];
  const current = configuredInterface === undefined ? '' : ` (now ${configuredInterface})`;
  const fix = `Set --node-ip of the kubelet to the address that Flannel uses, or set the interface of Flannel${current} to that of the InternalIP and restart Canal.`;
  return worst(
    elsewhere.length > 0
      ? { ...block(`the overlay would move to another address: ${summarizeList(elsewhere)}`), fix }
      : pass('Flannel uses the InternalIP of every node'),
    near.length > 0
      ? { ...warn(`the overlay would use another address of the same interface: ${summarizeList(near)}`), fix }
      : pass()
  );
}

/** Returns how the address of a node's overlay would change; nothing when it stays. */
function findAddressChange(node: V1Node, hosts: Hosts, annotation: string): { text: string; sameInterface: boolean }[] {
  const { name = '', annotations = {} } = node.metadata ?? {};
  const [flannel, internal] = [annotations[annotation], internalAddress(node)];
  if (flannel === undefined || internal === undefined || flannel === internal) return [];
  const [from, to] = [flannel, internal].map((address) => findInterface(hosts?.get(name), address)?.name);
  const place = (address: string, device: string | undefined): string =>
    device === undefined ? address : `${address} on ${device}`;
  const text = `${name} (Flannel ${place(flannel, from)}, Cilium ${place(internal, to)})`;
  return [{ text, sameInterface: from !== undefined && from === to }];
}

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
  return findInterface(host, address) === undefined;
}
