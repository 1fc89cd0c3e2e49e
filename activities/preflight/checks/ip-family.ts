import { summarizeList } from '../../../model/summarize.ts';
import { unlessEmpty, type PreflightCheck } from '../check.ts';
import { objectKey } from '../../kubernetes/object-key.ts';

/** Checks that pods have IPv4 addresses only. */
export const ipFamily: PreflightCheck = {
  ensures: 'Pods and services have IPv4 addresses alone.',
  verdicts: 'Blocks when a node has an IPv6 pod CIDR or a service an IPv6 address.',
  fix: 'IPv6 is not migrated. Waive this check only where nothing uses the IPv6 addresses.',
  rationale: 'The IPv6 half would end at each node’s flip (Cilium’s guide names it as untested).',
  run: async ({ nodes, services }) => {
    const isV6 = (text: string): boolean => text.includes(':');
    const withCidr = (await nodes()).filter(({ spec }) => spec?.podCIDRs?.some(isV6) === true);
    const withAddress = (await services()).filter(({ spec }) => spec?.clusterIPs?.some(isV6) === true);
    const problems = [
      ...(withCidr.length > 0 ? [`nodes with IPv6 pod CIDRs: ${summarizeList(withCidr.map(objectKey))}`] : []),
      ...(withAddress.length > 0 ? [`services with IPv6 addresses: ${summarizeList(withAddress.map(objectKey))}`] : []),
    ];
    return unlessEmpty('block', problems, 'IPv4 alone');
  },
};
