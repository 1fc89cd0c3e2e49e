import { lookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { policyLine, type PolicyOf } from '../../../model/cluster-policy.ts';
import type { Gates } from '../../../model/gates.ts';
import { failure } from '../../support/failures.ts';

/**
 * Addresses of this machine and of its links: services that trust everyone who reaches them listen there, such as those
 * that hand out the credentials of a cloud's machine.
 */
const localAddresses = new BlockList();
localAddresses.addSubnet('0.0.0.0', 8, 'ipv4');
localAddresses.addSubnet('127.0.0.0', 8, 'ipv4');
localAddresses.addSubnet('169.254.0.0', 16, 'ipv4');
localAddresses.addAddress('::', 'ipv6');
localAddresses.addAddress('::1', 'ipv6');
localAddresses.addSubnet('fe80::', 10, 'ipv6');
// The same service of AWS, over IPv6.
localAddresses.addAddress('fd00:ec2::254', 'ipv6');

/** True for a loopback or link-local address, also for one of IPv4 in the notation of IPv6. */
export function isLocalAddress(address: string): boolean {
  const [plain = ''] = address.split('%');
  return localAddresses.check(plain, isIP(plain) === 6 ? 'ipv6' : 'ipv4');
}

/** Decides to which hosts the gates of a cluster may send requests. */
export interface GateHosts {
  /**
   * @param host as a URL has it: a name, or an address, with `[…]` around one of IPv6.
   * @throws InvalidInput when gates may not send requests to the host.
   */
  requireHost: (host: string) => void;
  /** Resolves a name, as `dns.lookup`; an address that gates may not reach is an error. */
  lookup: LookupFunction;
}

/** Returns which hosts the policy of a cluster allows. */
export function gateHostsOf(policyOf: PolicyOf, cluster: string): GateHosts {
  const { gateHosts } = policyOf(cluster);
  const line = policyLine('gateHosts', cluster);
  const isListed = (host: string): boolean => gateHosts?.includes(host) === true;
  return {
    requireHost: (host) => {
      if (isListed(host)) return;
      if (gateHosts !== undefined) {
        const list = gateHosts.join(', ') || 'none';
        throw failure('InvalidInput', `gates: ${line} allows ${list}, not ${host}`);
      }
      const address = host.replace(/^\[(.*)\]$/, '$1');
      if (isIP(address) !== 0 && isLocalAddress(address)) throw failure('InvalidInput', localText(host, host, line));
    },
    lookup: (host, options, callback) => {
      lookup(host, { ...options, all: true }, (error, addresses) => {
        const local = addresses?.find(({ address }) => isLocalAddress(address));
        if (error !== null) return callback(error, '');
        if (local !== undefined && !isListed(host))
          return callback(new Error(localText(host, local.address, line)), '');
        if (options.all === true) return callback(null, addresses);
        const [first] = addresses;
        callback(null, first?.address ?? '', first?.family);
      });
    },
  };
}

/** @throws InvalidInput for the first gate that may not send its requests. */
export function requireGateHosts({ prometheus, http }: Gates, hosts: GateHosts): void {
  for (const { url } of [...prometheus, ...http]) hosts.requireHost(new URL(url).hostname);
}

function localText(host: string, address: string, line: string): string {
  const subject = host === address ? host : `${host} (${address})`;
  return `gates: ${subject} is a loopback or link-local address, which needs an entry in ${line}`;
}
