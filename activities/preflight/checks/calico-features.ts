import type { KubernetesObject } from '@kubernetes/client-node';
import { summarizeList } from '../../../model/summarize.ts';
import { unlessEmpty, type PreflightCheck } from '../check.ts';
import type { ClusterReader } from '../cluster-reader.ts';
import { keyOf } from '../../kubernetes/object-key.ts';

const calico = 'crd.projectcalico.org/v1';

type FelixConfiguration = KubernetesObject & {
  spec?: { wireguardEnabled?: boolean; bpfEnabled?: boolean; ipipEnabled?: boolean; vxlanEnabled?: boolean };
};
type IpPool = KubernetesObject & { spec?: { cidr?: string; ipipMode?: string; vxlanMode?: string } };
type BgpConfiguration = KubernetesObject & {
  spec?: { serviceClusterIPs?: unknown[]; serviceLoadBalancerIPs?: unknown[]; serviceExternalIPs?: unknown[] };
};

/** Annotations by which a pod asks Calico for an address (docs.tigera.io, "Use a specific IP address with a pod"). */
const addressAnnotations = ['ipAddrs', 'ipAddrsNoIpam', 'floatingIPs', 'ipv4pools'].map(
  (name) => `cni.projectcalico.org/${name}`
);

/** Whether something of Calico is used that Cilium, as it is set up here, has no equal of. */
export const calicoFeatures: PreflightCheck = {
  ensures:
    'Nothing of Calico is in use that would end with it: BGP, IPIP, WireGuard, eBPF, host endpoints, fixed addresses.',
  verdicts: 'Blocks for each of them that is found.',
  fix: 'Stop using it, or set up what Cilium has instead once you know that it does the same; then waive this check.',
  why: 'These have no equal that can be made by itself; what they did would stop without a word at the clean-up.',
  run: async (cluster) => unlessEmpty('block', await inUse(cluster), 'none of Calico’s own features is in use'),
};

async function inUse({ list, pods }: ClusterReader): Promise<string[]> {
  const found: string[] = [];
  for (const kind of ['BGPPeer', 'BGPFilter', 'HostEndpoint', 'CalicoNodeStatus']) {
    const objects = await list(calico, kind);
    if (objects.length > 0) found.push(`${kind}: ${summarizeList(objects.map(keyOf))}`);
  }
  for (const { spec } of await list<BgpConfiguration>(calico, 'BGPConfiguration')) {
    const announced = [spec?.serviceClusterIPs, spec?.serviceLoadBalancerIPs, spec?.serviceExternalIPs].flat();
    if (announced.some((one) => one !== undefined)) found.push('BGPConfiguration announces addresses of services');
  }
  for (const felix of await list<FelixConfiguration>(calico, 'FelixConfiguration')) {
    const where = `FelixConfiguration ${keyOf(felix)}`;
    if (felix.spec?.wireguardEnabled === true) found.push(`${where}: WireGuard is on`);
    if (felix.spec?.bpfEnabled === true) found.push(`${where}: eBPF is on`);
    if (felix.spec?.ipipEnabled === true) found.push(`${where}: IPIP is on`);
  }
  const on = (mode: string | undefined): boolean => mode !== undefined && mode !== 'Never';
  for (const pool of await list<IpPool>(calico, 'IPPool')) {
    if (on(pool.spec?.ipipMode)) found.push(`IPPool ${keyOf(pool)}: IPIP is ${pool.spec?.ipipMode}`);
    if (on(pool.spec?.vxlanMode)) found.push(`IPPool ${keyOf(pool)}: Calico's own VXLAN is ${pool.spec?.vxlanMode}`);
  }
  const fixed = (await pods()).filter((pod) => addressAnnotations.some((key) => pod.annotations[key] !== undefined));
  if (fixed.length > 0) found.push(`pods with addresses of their own: ${summarizeList(fixed.map(({ key }) => key))}`);
  return found;
}
