import type { KubernetesObject } from '@kubernetes/client-node';
import { contains, type NamedNetwork } from '../../workflows/model/networks.ts';
import type { ClusterFacts } from '../../workflows/model/source.ts';
import { findCanal } from '../canal/detect.ts';
import { ciliumOwnsCni } from '../cilium/agents.ts';
import { failure } from '../failures.ts';
import { ownsNamespace } from '../host/namespace.ts';
import { listKnown } from '../kubernetes/apply.ts';
import type { Clusters, ClusterConnection } from '../kubernetes/connection.ts';
import { withFailures } from '../kubernetes/errors.ts';

/** The activity that reads a cluster before anything is changed. */
export function createPreflightActivities(clusters: Clusters) {
  return {
    /**
     * Reads what the migration has to know. Changes nothing.
     * @throws UnknownCluster, ClusterUnreachable; SourceNotFound when the network is neither Canal nor Cilium.
     */
    inspectCluster: withFailures(
      'read the cluster',
      async ({ cluster }: { cluster: string }): Promise<ClusterFacts> => {
        const connection = await clusters.connect(cluster);
        const { gitVersion } = await connection.version.getCode({});
        const [canal, ownsCni, { items }] = [
          await findCanal(connection),
          await ciliumOwnsCni(connection),
          await connection.core.listNode({}),
        ];
        if (canal === undefined && !ownsCni) {
          const message = `cluster ${cluster} does not run Canal: no DaemonSet has the containers calico-node and kube-flannel`;
          throw failure('SourceNotFound', message);
        }
        const networks: NamedNetwork[] = await serviceNetworks(connection);
        for (const { metadata, spec, status } of items) {
          const owner = `node ${metadata?.name ?? ''}`;
          for (const cidr of spec?.podCIDRs ?? []) networks.push({ cidr, owner: `pods of ${owner}` });
          for (const { type, address } of status?.addresses ?? []) {
            if (type === 'InternalIP' || type === 'ExternalIP') networks.push({ cidr: address, owner });
          }
        }
        if (canal !== undefined) networks.push({ cidr: canal.facts.podCidr, owner: "Canal's pods" });
        networks.push(...(await ipPools(connection)));
        return {
          kubernetesVersion: gitVersion,
          nodeCount: items.length,
          networks,
          ciliumOwnsCni: ownsCni,
          leftovers: canal === undefined && (await ownsNamespace(connection)),
          ...(canal && { canal: canal.facts }),
        };
      }
    ),
  };
}

/** Where services have their addresses: the ranges, where the API server tells them, and each address outside them. */
async function serviceNetworks(connection: ClusterConnection): Promise<NamedNetwork[]> {
  type ServiceCidr = KubernetesObject & { spec?: { cidrs?: string[] } };
  const ranges = (await listKnown<ServiceCidr>(connection, 'networking.k8s.io/v1', 'ServiceCIDR')).flatMap(
    (one) => one.spec?.cidrs ?? []
  );
  const { items } = await connection.core.listServiceForAllNamespaces({});
  const single = items.flatMap(({ metadata, spec }) =>
    (spec?.clusterIPs ?? [])
      .filter((address) => address !== 'None' && !ranges.some((range) => contains(range, address)))
      .map((cidr) => ({ cidr, owner: `service ${metadata?.namespace}/${metadata?.name}` }))
  );
  return [...ranges.map((cidr) => ({ cidr, owner: 'services' })), ...single];
}

async function ipPools(connection: ClusterConnection): Promise<NamedNetwork[]> {
  type IpPool = KubernetesObject & { spec?: { cidr?: string } };
  const pools = await listKnown<IpPool>(connection, 'crd.projectcalico.org/v1', 'IPPool');
  return pools.map((pool) => ({ cidr: pool.spec?.cidr ?? '', owner: `Calico's IPPool ${pool.metadata?.name}` }));
}
