import type { Lab } from '../../lab/cluster/lab.ts';
import { nodeTraces } from './node-traces.ts';
import { readText } from './reads.ts';

const kinds = 'namespaces,pods,daemonsets,services,configmaps,secrets,serviceaccounts,leases,crds,clusterroles,roles';

/** Returns what a test could leave behind in a cluster and on its nodes: names of objects, and remains of networks. */
export async function clusterState(lab: Lab): Promise<string[]> {
  const objects = (await readText(lab, 'get', kinds, '-A', '-o', 'name')).split('\n').filter(Boolean).sort();
  const { layout } = lab;
  const traces = await Promise.all(
    layout.nodeNames.map(async (node) => {
      const lines = await nodeTraces(layout.machineDir(node));
      return lines.map((line) => `${node}: ${line}`);
    })
  );
  return [...new Set(objects), ...traces.flat()];
}
