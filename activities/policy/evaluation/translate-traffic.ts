import { protocolName, type CalicoRule } from './calico-policy.ts';
import type { CiliumPorts, CiliumRule } from './cilium.ts';
import { Untranslatable } from './untranslatable.ts';

/** Maximum number of ports in one of Cilium's lists. */
const maxPortsPerList = 40;

/**
 * Translates a rule without its peers.
 * @throws Untranslatable when Cilium has no equivalent.
 */
export function translateTraffic({
  protocol,
  notProtocol,
  icmp,
  notICMP,
  destination = {},
}: CalicoRule): Pick<CiliumRule, 'toPorts' | 'icmps'> {
  if (notProtocol !== undefined || notICMP !== undefined)
    throw new Untranslatable('a rule excludes a protocol or an ICMP type');
  const { ports = [], notPorts = [] } = destination;
  if (protocol === undefined) {
    if (ports.length > 0 || notPorts.length > 0) throw new Untranslatable('a rule has ports without a protocol');
    return {};
  }
  const name = protocolName(protocol);
  return name === 'ICMP' ? translateIcmp(icmp) : translatePorts(name, ports, notPorts);
}

function translateIcmp(icmp: CalicoRule['icmp']): Pick<CiliumRule, 'icmps'> {
  if (icmp?.type === undefined) throw new Untranslatable('a rule matches ICMP of any type');
  if (icmp.code !== undefined) throw new Untranslatable('a rule matches an ICMP code');
  return { icmps: [{ fields: [{ family: 'IPv4', type: icmp.type }] }] };
}

function translatePorts(
  protocol: string,
  ports: readonly (number | string)[],
  notPorts: readonly (number | string)[]
): Pick<CiliumRule, 'toPorts'> {
  if (!['TCP', 'UDP', 'SCTP'].includes(protocol)) throw new Untranslatable(`a rule matches the protocol ${protocol}`);
  if (ports.length > 0 && notPorts.length > 0) throw new Untranslatable('a rule has both ports and notPorts');
  const translatedPorts = notPorts.length > 0 ? complement(notPorts) : ports;
  const list = translatedPorts.length === 0 ? ['0'] : translatedPorts.map(String);
  return {
    toPorts: portLists(
      list.map((text) => {
        const [first = '', last] = text.split(':');
        return { port: first, ...(last !== undefined && { endPort: Number(last) }), protocol };
      })
    ),
  };
}

/** Splits ports into lists of a size that Cilium accepts. */
export function portLists(ports: CiliumPorts['ports']): CiliumPorts[] {
  return Array.from({ length: Math.ceil(ports.length / maxPortsPerList) }, (_, index) => ({
    ports: ports.slice(index * maxPortsPerList, (index + 1) * maxPortsPerList),
  }));
}

function complement(ports: readonly (number | string)[]): string[] {
  const excludedRanges = ports
    .map((port): [number, number] => {
      const [first, last] = String(port).split(':').map(Number);
      if (first === undefined || !Number.isInteger(first)) throw new Untranslatable('a rule excludes a named port');
      return [first, last ?? first];
    })
    .sort((a, b) => a[0] - b[0]);
  const includedRanges: string[] = [];
  let next = 1;
  for (const [first, last] of excludedRanges) {
    if (first > next) includedRanges.push(`${next}:${first - 1}`);
    next = Math.max(next, last + 1);
  }
  if (next <= 65_535) includedRanges.push(`${next}:65535`);
  return includedRanges;
}
