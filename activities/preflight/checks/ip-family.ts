import { summarizeList } from '../../../model/summarize.ts';
import { unlessEmpty, type PreflightCheck } from '../check.ts';
import { objectKey } from '../../kubernetes/object-key.ts';

/** Checks that pods have IPv4 addresses only. */
export const ipFamily: PreflightCheck = {
  ensures: 'Pods and services have only IPv4 addresses.',
  verdicts: 'Blocks when a node has an IPv6 pod CIDR, or a service has an IPv6 address.',
  fix: 'Remove IPv6 from the cluster: it is not migrated. Waive this check only if nothing uses the IPv6 addresses.',
  rationale: 'A node would lose IPv6 at its flip (the migration guide of Cilium calls IPv6 untested).',
  run: async ({ nodes, services }) => {
    const isV6 = (text: string): boolean => text.includes(':');
    const withCidr = (await nodes()).filter(({ spec }) => spec?.podCIDRs?.some(isV6) === true);
    const withAddress = (await services()).filter(({ spec }) => spec?.clusterIPs?.some(isV6) === true);
    const problems = [
      ...(withCidr.length > 0 ? [`nodes with IPv6 pod CIDRs: ${summarizeList(withCidr.map(objectKey))}`] : []),
      ...(withAddress.length > 0 ? [`services with IPv6 addresses: ${summarizeList(withAddress.map(objectKey))}`] : []),
    ];
    return unlessEmpty('block', problems, 'only IPv4');
  },
};
