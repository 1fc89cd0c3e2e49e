import type { KubernetesObject } from '@kubernetes/client-node';
import { summarizeList } from '../../../model/summarize.ts';
import { unlessEmpty, type PreflightCheck } from '../check.ts';
import type { ClusterReader } from '../cluster-reader.ts';
import { objectKey } from '../../kubernetes/object-key.ts';

const calico = 'crd.projectcalico.org/v1';

type FelixConfiguration = KubernetesObject & {
  spec?: { wireguardEnabled?: boolean; bpfEnabled?: boolean; ipipEnabled?: boolean; vxlanEnabled?: boolean };
};
type IpPool = KubernetesObject & { spec?: { cidr?: string; ipipMode?: string; vxlanMode?: string } };
type BgpConfiguration = KubernetesObject & {
  spec?: { serviceClusterIPs?: unknown[]; serviceLoadBalancerIPs?: unknown[]; serviceExternalIPs?: unknown[] };
};

/**
 * Annotations with which a pod requests an address from Calico (docs.tigera.io, "Use a specific IP address with a
 * pod").
 */
const addressAnnotations = ['ipAddrs', 'ipAddrsNoIpam', 'floatingIPs', 'ipv4pools'].map(
  (name) => `cni.projectcalico.org/${name}`
);

/** Checks that no Calico feature is in use that has no equivalent in Cilium as configured here. */
export const calicoFeatures: PreflightCheck = {
  ensures:
    'No Calico feature is in use that ends with Calico: BGP, IPIP, WireGuard, eBPF, host endpoints, AdminNetworkPolicies, fixed addresses.',
  verdicts: 'Blocks for each feature in use.',
  fix: 'Stop using the feature, or configure the equivalent in Cilium and verify it; then waive this check.',
  rationale: 'These features have no automatic equivalent in Cilium and would silently stop working at the cleanup.',
  run: async (cluster) => unlessEmpty('block', await listFeaturesInUse(cluster), 'no Calico-only feature is in use'),
};

async function listFeaturesInUse(cluster: ClusterReader): Promise<string[]> {
  const { list } = cluster;
  return [
    ...(await listObjectsInUse(cluster)),
    ...(await list<BgpConfiguration>(calico, 'BGPConfiguration')).flatMap(announcements),
    ...(await list<FelixConfiguration>(calico, 'FelixConfiguration')).flatMap(felixFeatures),
    ...(await list<IpPool>(calico, 'IPPool')).flatMap(encapsulations),
    ...(await fixedAddresses(cluster)),
  ];
}

/**
 * Kinds whose objects only Calico reads. Calico enforces the network policy API since v3.29; Cilium 1.20 knows none of
 * these two kinds.
 */
const endingKinds = [
  ...['BGPPeer', 'BGPFilter', 'HostEndpoint', 'CalicoNodeStatus'].map((kind) => [calico, kind] as const),
  ...['AdminNetworkPolicy', 'BaselineAdminNetworkPolicy'].map(
    (kind) => ['policy.networking.k8s.io/v1alpha1', kind] as const
  ),
];

async function listObjectsInUse({ list }: ClusterReader): Promise<string[]> {
  const features: string[] = [];
  for (const [apiVersion, kind] of endingKinds) {
    const objects = await list(apiVersion, kind);
    if (objects.length > 0) features.push(`${kind}: ${summarizeList(objects.map(objectKey))}`);
  }
  return features;
}

function announcements({ spec = {} }: BgpConfiguration): string[] {
  const announced = [spec.serviceClusterIPs, spec.serviceLoadBalancerIPs, spec.serviceExternalIPs].flat();
  return announced.some((addresses) => addresses !== undefined)
    ? ['BGPConfiguration announces addresses of services']
    : [];
}

function felixFeatures(felix: FelixConfiguration): string[] {
  const { wireguardEnabled, bpfEnabled, ipipEnabled } = felix.spec ?? {};
  const features = { WireGuard: wireguardEnabled, eBPF: bpfEnabled, IPIP: ipipEnabled };
  return Object.entries(features)
    .filter(([, enabled]) => enabled === true)
    .map(([name]) => `FelixConfiguration ${objectKey(felix)}: ${name} is on`);
}

function encapsulations(pool: IpPool): string[] {
  const { ipipMode = 'Never', vxlanMode = 'Never' } = pool.spec ?? {};
  const features: string[] = [];
  if (ipipMode !== 'Never') features.push(`IPPool ${objectKey(pool)}: IPIP is ${ipipMode}`);
  if (vxlanMode !== 'Never') features.push(`IPPool ${objectKey(pool)}: Calico's own VXLAN is ${vxlanMode}`);
  return features;
}

async function fixedAddresses({ pods }: ClusterReader): Promise<string[]> {
  const fixed = (await pods()).filter((pod) => addressAnnotations.some((key) => pod.annotations[key] !== undefined));
  return fixed.length > 0 ? [`pods with fixed addresses: ${summarizeList(fixed.map(({ key }) => key))}`] : [];
}
