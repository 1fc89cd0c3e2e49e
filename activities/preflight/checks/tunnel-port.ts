import type { KubernetesObject } from '@kubernetes/client-node';
import { inspectionRemark, unlessEmpty, type PreflightCheck } from '../check.ts';
import type { ClusterReader } from '../cluster-reader.ts';
import type { HostFacts } from '../host-facts.ts';

type FelixConfiguration = KubernetesObject & { spec?: { vxlanPort?: number; wireguardListeningPort?: number } };

/** Checks that the new overlay's port is free on every node. */
export const tunnelPort: PreflightCheck = {
  ensures:
    'Nothing else uses the UDP port of the new overlay: not Flannel or Calico, no other interface, and no program on a node.',
  verdicts: 'Blocks for each user of the port.',
  fix: 'Choose another tunnelPort.',
  rationale:
    'Linux accepts only one VXLAN device per port, so one of the overlays would fail; both default to 8472 (cilium/cilium#8990).',
  run: async (cluster) =>
    unlessEmpty(
      'block',
      await findPortUsers(cluster),
      `nothing else uses UDP port ${cluster.input.tunnelPort}${inspectionRemark(await cluster.hosts())}`
    ),
};

async function findPortUsers({ input, canalFacts, list, hosts, ciliumIsOurs }: ClusterReader): Promise<string[]> {
  const port = input.tunnelPort;
  const users: string[] = [];
  if ((await canalFacts())?.port === port) users.push(`Flannel uses UDP port ${port} for VXLAN`);
  for (const { metadata, spec } of await list<FelixConfiguration>('crd.projectcalico.org/v1', 'FelixConfiguration')) {
    const ports = [spec?.vxlanPort, spec?.wireguardListeningPort];
    if (ports.includes(port)) users.push(`FelixConfiguration ${metadata?.name} uses UDP port ${port}`);
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
  if (taken.length > 0) return taken.map(({ name, vni }) => `interface ${name} uses UDP port ${port} for VXLAN ${vni}`);
  return portTaken === undefined || links.some(isCilium) ? [] : [portTaken];
}
