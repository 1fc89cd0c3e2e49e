import { checks } from '../../activities/preflight/checks/index.ts';
import type { CheckName } from '../../model/preflight.ts';
import { preflightCluster } from '../support/preflight-cluster.ts';

it.each<CheckName>(['node-address', 'pod-cidr-overlap', 'tunnel-port', 'cilium-leftovers'])(
  '%s states when the nodes were not inspected',
  async (name) => {
    const remark = 'nodes not inspected: nodeInspection is off';

    const uninspected = await checks[name].run(preflightCluster());
    const inspected = await checks[name].run(preflightCluster({ hosts: {} }));

    expect(uninspected).toMatchObject({ verdict: 'pass' });
    expect(uninspected.evidence.join()).toContain(remark);
    expect(inspected.evidence.join()).not.toContain(remark);
  }
);
