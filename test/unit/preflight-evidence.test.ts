import type { HostFacts } from '../../activities/preflight/host-facts.ts';
import { checks } from '../../activities/preflight/checks/index.ts';
import type { ClusterReader } from '../../activities/preflight/cluster-reader.ts';
import { parseInput } from '../../model/input.ts';
import type { CheckName } from '../../model/preflight.ts';

/** Returns a reader of an empty cluster. */
function emptyCluster(hosts: Map<string, HostFacts> | undefined): ClusterReader {
  const parsed = parseInput({ cluster: 'prod' });
  if ('problems' in parsed) throw new Error(parsed.problems.join());
  const none = (): Promise<never[]> => Promise.resolve([]);
  const page = (): Promise<{ items: never[] }> => Promise.resolve({ items: [] });
  return {
    connection: { core: { listNamespacedSecret: page }, objects: { list: page } },
    input: parsed.input,
    canal: () => Promise.resolve(undefined),
    canalFacts: () => Promise.resolve(undefined),
    ciliumIsOurs: () => Promise.resolve(false),
    hosts: () => Promise.resolve(hosts),
    ...{ nodes: none, pods: none, services: none, daemonSets: none, deployments: none, budgets: none, list: none },
  } as unknown as ClusterReader;
}

it.each<CheckName>(['node-address', 'pod-cidr-overlap', 'tunnel-port', 'cilium-leftovers'])(
  '%s states when the nodes were not inspected',
  async (name) => {
    const remark = 'nodes not inspected: nodeInspection is off';

    const uninspected = await checks[name].run(emptyCluster(undefined));
    const inspected = await checks[name].run(emptyCluster(new Map<string, HostFacts>()));

    expect(uninspected).toMatchObject({ verdict: 'pass' });
    expect(uninspected.evidence.join()).toContain(remark);
    expect(inspected.evidence.join()).not.toContain(remark);
  }
);
