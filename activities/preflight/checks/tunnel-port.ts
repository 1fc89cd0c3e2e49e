import type { KubernetesObject } from '@kubernetes/client-node';
import { unlessEmpty, type PreflightCheck } from '../check.ts';
import type { ClusterReader } from '../cluster-reader.ts';
import type { HostFacts } from '../host-facts.ts';

type FelixConfiguration = KubernetesObject & { spec?: { vxlanPort?: number; wireguardListeningPort?: number } };

/** Checks that the new overlay's port is free on every node. */
export const tunnelPort: PreflightCheck = {
  ensures:
    'Nothing else uses the UDP port of the new overlay: not Flannel, not Calico, no other link and no program of a node.',
  verdicts: 'Blocks when something does.',
  fix: 'Choose another tunnelPort.',
  rationale:
    'Linux takes no second VXLAN device on a port, so one of the overlays goes dark; both default to 8472 (cilium/cilium#8990).',
  run: async (cluster) =>
    unlessEmpty('block', await findPortUsers(cluster), `nothing uses UDP port ${cluster.input.tunnelPort}`),
};

async function findPortUsers({ input, canal, list, hosts, ciliumIsOurs }: ClusterReader): Promise<string[]> {
  const port = input.tunnelPort;
  const users: string[] = [];
  if ((await canal())?.facts.port === port) users.push(`Flannel's VXLAN is on UDP port ${port}`);
  for (const { metadata, spec } of await list<FelixConfiguration>('crd.projectcalico.org/v1', 'FelixConfiguration')) {
    const ports = [spec?.vxlanPort, spec?.wireguardListeningPort];
    if (ports.includes(port)) users.push(`FelixConfiguration ${metadata?.name} is on UDP port ${port}`);
  }
  const ours = await ciliumIsOurs();
  for (const [node, facts] of (await hosts()) ?? []) {
    users.push(...usersOnNode(facts, port, ours).map((text) => `${node}: ${text}`));
  }
  return users;
}

/**
 * Returns the users of the port on a node.
 * @param ours true when an earlier run installed Cilium, so that its link may use the port.
 */
function usersOnNode({ links, portTaken }: HostFacts, port: number, ours: boolean): string[] {
  const isCilium = ({ name }: { name: string }): boolean => ours && name === 'cilium_vxlan';
  const taken = links.filter((link) => link.kind === 'vxlan' && link.port === port && !isCilium(link));
  if (taken.length > 0) return taken.map(({ name, vni }) => `link ${name} is VXLAN ${vni} on UDP port ${port}`);
  return portTaken === undefined || links.some(isCilium) ? [] : [portTaken];
}
