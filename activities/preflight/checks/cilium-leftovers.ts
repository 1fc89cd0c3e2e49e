import { summarizeList } from '../../../model/summarize.ts';
import { listDefinitions } from '../../kubernetes/crds.ts';
import { ciliumNamespace } from '../../kubernetes/names.ts';
import { inspectionRemark, pass, unlessEmpty, type PreflightCheck } from '../check.ts';
import type { ClusterReader } from '../cluster-reader.ts';
import { objectKey } from '../../kubernetes/object-key.ts';

/** Checks that Cilium is not installed, unless this migration installed it. */
export const ciliumLeftovers: PreflightCheck = {
  ensures: 'Nothing is left of an earlier Cilium: no agents, Helm release, CRDs, CNI files or network interfaces.',
  verdicts: 'Blocks for each leftover, unless an earlier run of this migration installed Cilium.',
  fix: 'Uninstall Cilium, delete its CRDs (cilium.io), and delete its interfaces and CNI files on the nodes.',
  rationale:
    'Old CiliumNodes cause duplicate pod CIDRs, and an old CNI file takes effect as soon as an agent restarts (cilium/cilium#17277, #22770).',
  run: async (cluster) => {
    if (await cluster.ciliumIsOurs()) return pass('an earlier run of this migration installed Cilium');
    const remark = inspectionRemark(await cluster.hosts());
    return unlessEmpty('block', await findLeftovers(cluster), `nothing is left of an earlier Cilium${remark}`);
  },
};

async function findLeftovers({ connection, daemonSets, hosts }: ClusterReader): Promise<string[]> {
  const leftovers: string[] = [];
  const agents = (await daemonSets()).filter(({ spec }) =>
    spec?.template.spec?.containers.some(({ name }) => name === 'cilium-agent')
  );
  if (agents.length > 0) leftovers.push(`DaemonSets ${summarizeList(agents.map(objectKey))}`);
  // Helm's own record (helm.sh/helm pkg/storage/driver/secrets.go); its labels contain enough.
  const releases = await connection.core.listNamespacedSecret({
    namespace: ciliumNamespace,
    labelSelector: 'owner=helm,name=cilium',
    limit: 1,
  });
  if (releases.items.length > 0) leftovers.push(`a Helm release "cilium" in ${ciliumNamespace}`);
  const definitions = await listDefinitions(connection, 'cilium.io');
  if (definitions.length > 0) leftovers.push(`CRDs ${summarizeList(definitions.map(objectKey), 3)}`);
  for (const [node, { links, cniFiles }] of (await hosts()) ?? []) {
    const names = [
      ...links.map(({ name }) => name).filter((name) => name.startsWith('cilium_')),
      ...Object.keys(cniFiles).filter((file) => file.includes('cilium')),
    ];
    if (names.length > 0) leftovers.push(`${node}: ${names.join(', ')}`);
  }
  return leftovers;
}
