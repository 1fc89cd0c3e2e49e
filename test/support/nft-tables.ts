import type { Lab } from '../../lab/cluster/lab.ts';
import { runInside } from '../../lab/machine/machine.ts';

/** Returns the tables of nftables on a node, such as `ip kube-proxy`, without those of iptables. */
export async function readNftTables({ layout }: Lab, node: string): Promise<string[]> {
  const text = await runInside(layout.machineDir(node), ['nft', 'list', 'tables']);
  return text
    .split('\n')
    .map((line) => line.replace(/^table /, ''))
    .filter((table) => table !== '' && !/^ip6? (filter|nat|mangle|raw|security)$/.test(table))
    .sort();
}

/** A table of nftables. One that is deleted and created again has another handle. */
export interface NftTable {
  family: string;
  name: string;
  handle: number;
}

/** Returns the tables of kube-proxy on a node. */
export async function readKubeProxyTables({ layout }: Lab, node: string): Promise<NftTable[]> {
  // Without JSON, nft lists tables without their handles.
  const text = await runInside(layout.machineDir(node), ['nft', '--json', 'list', 'tables']);
  const { nftables } = JSON.parse(text) as { nftables: { table?: NftTable }[] };
  return nftables.flatMap(({ table }) => (table?.name === 'kube-proxy' ? [table] : []));
}

/**
 * Tables as Calico creates them in its mode for nftables, with the rule that translates the addresses of pods for all
 * destinations outside their network (felix/nftables). Calico has the mode since v3.29, and the lab has v3.28.
 */
const felixTables = `
table ip calico {
  chain filter-FORWARD { type filter hook forward priority filter; policy accept; jump filter-cali-FORWARD; }
  chain filter-cali-FORWARD { }
  chain nat-POSTROUTING { type nat hook postrouting priority srcnat; policy accept; jump nat-cali-POSTROUTING; }
  chain nat-cali-POSTROUTING { ip saddr 10.244.0.0/16 ip daddr != 10.244.0.0/16 masquerade; }
}
table ip6 calico {
  chain filter-FORWARD { type filter hook forward priority filter; policy accept; }
}
table arp calico-arp {
  chain filter-OUTPUT { type filter hook output priority filter; policy accept; }
}
`;

/** Writes tables to a node as a newer Calico would. */
export async function writeFelixTables({ layout }: Lab, node: string): Promise<void> {
  await runInside(layout.machineDir(node), ['sh', '-c', `echo '${felixTables}' | nft -f -`]);
}
