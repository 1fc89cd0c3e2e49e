import { summarizeList } from '../../../model/summarize.ts';
import { block, pass, warn, worst, type PreflightCheck } from '../check.ts';
import { objectKey } from '../../kubernetes/object-key.ts';
import type { KubernetesObject } from '@kubernetes/client-node';

type IpPool = KubernetesObject & {
  spec?: { cidr?: string; ipipMode?: string; vxlanMode?: string; natOutgoing?: boolean; disabled?: boolean };
};

/** Checks that the source network can be migrated, and reports its facts. */
export const sourceNetwork: PreflightCheck = {
  ensures: 'The network is Canal (Flannel with VXLAN, and Calico for policy), and its configuration can be read.',
  verdicts: 'Blocks when Canal is not installed; warns about Calico IPPools other than the network of Flannel.',
  fix: 'Only Canal as installed by the manifest canal.yaml of Calico can be migrated. Delete unused IPPools.',
  rationale: 'Calico alone and Flannel alone manage addresses, routes and node addresses differently.',
  run: async ({ canal, canalFacts, list }) => {
    const source = await canal();
    const facts = await canalFacts();
    if (source === undefined || facts === undefined)
      return block('no DaemonSet has the containers calico-node and kube-flannel');
    const { version, podCidr, vni, port } = facts;
    const pools = await list<IpPool>('crd.projectcalico.org/v1', 'IPPool');
    const text = (pool: IpPool): string =>
      `IPPool ${objectKey(pool)} ${pool.spec?.cidr} (NAT of outgoing traffic ${pool.spec?.natOutgoing === true ? 'on' : 'off'})`;
    const summary = `Canal ${version} in ${source.namespace}/${source.name}, pods in ${podCidr}, VXLAN ${vni} on UDP port ${port}`;
    const unexpectedPools = pools.filter(({ spec }) => spec?.cidr !== podCidr && spec?.disabled !== true);
    return worst(
      pass(summary, ...(pools.length > 0 ? [summarizeList(pools.map(text))] : [])),
      unexpectedPools.length > 0
        ? warn(`not the network of Flannel: ${summarizeList(unexpectedPools.map(text))}`)
        : pass()
    );
  },
};
