import { summarizeList } from '../../../model/summarize.ts';
import { block, pass, warn, worst, type PreflightCheck } from '../check.ts';
import {
  canalDescription,
  describeIgnored,
  describeSeveral,
  findCandidates,
  listCanalNamespaces,
} from '../../canal/detect.ts';
import { objectKey } from '../../kubernetes/object-key.ts';
import type { KubernetesObject } from '@kubernetes/client-node';

type IpPool = KubernetesObject & {
  spec?: { cidr?: string; ipipMode?: string; vxlanMode?: string; natOutgoing?: boolean; disabled?: boolean };
};

/** Checks that the source network can be migrated, and reports its facts. */
export const sourceNetwork: PreflightCheck = {
  ensures:
    "The network is Canal (Flannel with VXLAN, and Calico for policy), installed once, in kube-system or a namespace of the worker's file, and its configuration can be read.",
  verdicts:
    'Blocks when Canal is not installed, and when several DaemonSets look like it; warns about those in other namespaces, which are ignored, and about Calico IPPools other than the network of Flannel.',
  fix: "Only Canal as installed by the manifest canal.yaml of Calico can be migrated. Name its namespace in canalNamespaces of the worker's file when it is not kube-system. Delete unused IPPools, and copies of Canal that nobody uses.",
  rationale:
    'Calico alone and Flannel alone manage addresses, routes and node addresses differently. Users who may create a DaemonSet in their namespace could otherwise have their own one migrated, and the CNI file that it names copied to every node.',
  run: async ({ canal, canalFacts, connection, daemonSets, list }) => {
    const { recognised, ignored } = findCandidates(connection, await daemonSets());
    const elsewhere = ignored.length === 0 ? pass() : warn(describeIgnored(connection, ignored));
    if (recognised.length > 1) return worst(block(describeSeveral(recognised)), elsewhere);
    const source = await canal();
    const facts = await canalFacts();
    if (source === undefined || facts === undefined) {
      const namespaces = listCanalNamespaces(connection).join(', ');
      return worst(block(`there is no ${canalDescription} in ${namespaces}`), elsewhere);
    }
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
        : pass(),
      elsewhere
    );
  },
};
