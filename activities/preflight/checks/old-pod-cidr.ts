import type { KubernetesObject } from '@kubernetes/client-node';
import { contains, overlapping } from '../../../model/networks.ts';
import { objectKey } from '../../kubernetes/object-key.ts';
import { unlessEmpty, type PreflightCheck } from '../check.ts';

interface Peer {
  ipBlock?: { cidr: string };
}
/** The client library names the field `from` so. */
type Policy = KubernetesObject & { spec?: { ingress?: { _from?: Peer[] }[]; egress?: { to?: Peer[] }[] } };

/** Checks that nothing refers to the addresses that pods will leave. */
export const oldPodCidr: PreflightCheck = {
  ensures: 'No NetworkPolicy and no service refers to a part of the old pod CIDR.',
  verdicts:
    'Blocks for each that does. Configuration outside the cluster, such as firewalls and allow lists, is not checked.',
  fix: 'Select pods by labels instead, or add the new pod CIDR next to the old one; change allow lists outside the cluster too.',
  rationale: 'Rules by address would match addresses that no pod has any more (see update-ips.bash of Elastisys).',
  run: async ({ canalFacts, list, services }) => {
    const source = await canalFacts();
    if (source === undefined) return unlessEmpty('block', [], 'Canal is not installed');
    const { podCidr } = source;
    // A block that contains the whole CIDR, as 0.0.0.0/0 does, covers more than pods.
    const within = (cidr: string): boolean =>
      overlapping(podCidr, [{ cidr, owner: '' }]).length > 0 && (cidr === podCidr || !contains(cidr, podCidr));
    const references: string[] = [];
    for (const policy of await list<Policy>('networking.k8s.io/v1', 'NetworkPolicy')) {
      const blocks = ipBlocks(policy).filter(within);
      if (blocks.length > 0) references.push(`NetworkPolicy ${objectKey(policy)}: ${blocks.join(', ')}`);
    }
    for (const service of await services()) {
      const ranges = (service.spec?.loadBalancerSourceRanges ?? []).filter(within);
      if (ranges.length > 0) references.push(`service ${objectKey(service)}: ${ranges.join(', ')}`);
    }
    return unlessEmpty('block', references, `no NetworkPolicy or service refers to a part of ${podCidr}`);
  },
};

function ipBlocks({ spec: { ingress = [], egress = [] } = {} }: Policy): string[] {
  const peers = [...ingress.flatMap(({ _from }) => _from ?? []), ...egress.flatMap(({ to }) => to ?? [])];
  return peers.flatMap(({ ipBlock }) => (ipBlock === undefined ? [] : [ipBlock.cidr]));
}
