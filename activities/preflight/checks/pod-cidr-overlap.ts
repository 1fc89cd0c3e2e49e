import type { KubernetesObject } from '@kubernetes/client-node';
import { contains, overlapping, type NamedNetwork } from '../../../model/networks.ts';
import { inspectionRemark, unlessEmpty, type PreflightCheck } from '../check.ts';
import type { ClusterReader } from '../cluster-reader.ts';

/** Checks that the new pod CIDR does not overlap with other networks. */
export const podCidrOverlap: PreflightCheck = {
  ensures: 'The new pod CIDR overlaps with no network in use: pods, services, nodes, IPPools, routes of the nodes.',
  verdicts: 'Blocks for each network that it overlaps with.',
  fix: 'Choose a podCidr that nothing in or near the cluster uses.',
  rationale:
    'The pod routes of Cilium would capture that traffic, including that of the nodes themselves (cilium/cilium#42383, PR 20208).',
  run: async (cluster) => {
    const { podCidr } = cluster.input;
    const networks = [...(await apiNetworks(cluster)), ...(await routedNetworks(cluster))];
    const shared = overlapping(podCidr, networks);
    return unlessEmpty(
      'block',
      shared.map(({ cidr, owner }) => `${podCidr} overlaps with ${cidr} (${owner})`),
      `${podCidr} overlaps with none of ${networks.length} networks and addresses${inspectionRemark(await cluster.hosts())}`
    );
  },
};

/** Returns the networks and addresses that the API server knows: of pods, services, nodes and IPPools. */
export async function apiNetworks({ canalFacts, nodes, services, list }: ClusterReader): Promise<NamedNetwork[]> {
  type ServiceCidr = KubernetesObject & { spec?: { cidrs?: string[] } };
  type IpPool = KubernetesObject & { spec?: { cidr?: string } };
  const ranges = (await list<ServiceCidr>('networking.k8s.io/v1', 'ServiceCIDR')).flatMap(
    (serviceCidr) => serviceCidr.spec?.cidrs ?? []
  );
  // Single addresses, for API servers that do not publish the range.
  const serviceAddresses = (await services()).flatMap(({ metadata, spec }) =>
    [...(spec?.clusterIPs ?? []), ...(spec?.externalIPs ?? [])]
      .filter((address) => address !== 'None' && !ranges.some((range) => contains(range, address)))
      .map((cidr) => ({ cidr, owner: `service ${metadata?.namespace}/${metadata?.name}` }))
  );
  const nodeNetworks = (await nodes()).flatMap(({ metadata, spec, status }) => [
    ...(spec?.podCIDRs ?? []).map((cidr) => ({ cidr, owner: `pods of node ${metadata?.name}` })),
    ...(status?.addresses ?? [])
      .filter(({ type }) => type === 'InternalIP' || type === 'ExternalIP')
      .map(({ address }) => ({ cidr: address, owner: `node ${metadata?.name}` })),
  ]);
  const source = await canalFacts();
  return [
    ...ranges.map((cidr) => ({ cidr, owner: 'services' })),
    ...serviceAddresses,
    ...nodeNetworks,
    ...(source === undefined ? [] : [{ cidr: source.podCidr, owner: 'pods of Canal' }]),
    ...(await list<IpPool>('crd.projectcalico.org/v1', 'IPPool')).map((pool) => ({
      cidr: pool.spec?.cidr ?? '',
      owner: `Calico IPPool ${pool.metadata?.name}`,
    })),
  ];
}

/**
 * Returns the networks to which the nodes have routes, without the default route and without routes of a Cilium that
 * this migration installed.
 */
async function routedNetworks({ hosts, ciliumIsOurs }: ClusterReader): Promise<NamedNetwork[]> {
  const ours = await ciliumIsOurs();
  return [...((await hosts()) ?? [])].flatMap(([node, { routes }]) =>
    routes.flatMap((route) => {
      const [cidr = '', , device = ''] = route.split(' ');
      const ignored = cidr === '0.0.0.0/0' || (ours && (device.startsWith('cilium') || device.startsWith('lxc')));
      return ignored ? [] : [{ cidr, owner: `route of node ${node} over ${device}` }];
    })
  );
}
