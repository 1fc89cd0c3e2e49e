import { summarizeList } from '../../../model/summarize.ts';
import { listDefinitions } from '../../kubernetes/crds.ts';
import { ciliumNamespace } from '../../kubernetes/names.ts';
import { pass, unlessEmpty, type PreflightCheck } from '../check.ts';
import type { ClusterReader } from '../cluster-reader.ts';
import { objectKey } from '../../kubernetes/object-key.ts';

/** Checks that Cilium is not installed, unless this migration installed it. */
export const ciliumLeftovers: PreflightCheck = {
  ensures: 'No Cilium of an earlier attempt is left: no agents, release, definitions, CNI files or links.',
  verdicts: 'Blocks for each trace, unless an earlier run of this migration put Cilium there.',
  fix: 'Uninstall that Cilium, delete its definitions (cilium.io), and its links and CNI files on the nodes.',
  rationale:
    'Old CiliumNodes give ranges twice, and an old CNI file wins the moment an agent restarts (cilium/cilium#17277, #22770).',
  run: async (cluster) => {
    if (await cluster.ciliumIsOurs()) return pass('Cilium is there, put there by an earlier run of this migration');
    return unlessEmpty('block', await findTraces(cluster), 'no trace of Cilium');
  },
};

async function findTraces({ connection, daemonSets, hosts }: ClusterReader): Promise<string[]> {
  const traces: string[] = [];
  const agents = (await daemonSets()).filter(({ spec }) =>
    spec?.template.spec?.containers.some(({ name }) => name === 'cilium-agent')
  );
  if (agents.length > 0) traces.push(`DaemonSets ${summarizeList(agents.map(objectKey))}`);
  // Helm's own record (helm.sh/helm pkg/storage/driver/secrets.go); its labels contain enough.
  const releases = await connection.core.listNamespacedSecret({
    namespace: ciliumNamespace,
    labelSelector: 'owner=helm,name=cilium',
    limit: 1,
  });
  if (releases.items.length > 0) traces.push(`a Helm release "cilium" in ${ciliumNamespace}`);
  const definitions = await listDefinitions(connection, 'cilium.io');
  if (definitions.length > 0) traces.push(`definitions ${summarizeList(definitions.map(objectKey), 3)}`);
  for (const [node, { links, cniFiles }] of (await hosts()) ?? []) {
    const names = [
      ...links.map(({ name }) => name).filter((name) => name.startsWith('cilium_')),
      ...Object.keys(cniFiles).filter((file) => file.includes('cilium')),
    ];
    if (names.length > 0) traces.push(`${node}: ${names.join(', ')}`);
  }
  return traces;
}
