import type { V1Node, V1PodList } from '@kubernetes/client-node';
import { rebootMachine } from '../../../lab/machine/machine.ts';
import { labMigrationRequest, targetPodCidr } from '../../../lab/migration-request.ts';
import { waitFor } from '../../../lab/process.ts';
import { contains } from '../../../model/networks.ts';
import type { MigrationStatus } from '../../../model/status.ts';
import { apply } from '../../support/objects.ts';
import { read } from '../../support/reads.ts';
import type { SharedLab } from '../../support/shared-lab.ts';
import { TemporalCli } from '../../support/temporal-cli.ts';
import { timeLimits } from '../../support/time-limits.ts';

/** Returns a pod that can only run on one node, as with a local volume. */
const local = (node: string): object => ({
  apiVersion: 'apps/v1',
  kind: 'StatefulSet',
  metadata: { name: `local-${node}`, namespace: 'default' },
  spec: {
    serviceName: `local-${node}`,
    selector: { matchLabels: { app: `local-${node}` } },
    template: {
      metadata: { labels: { app: `local-${node}` } },
      spec: {
        nodeSelector: { 'kubernetes.io/hostname': node },
        terminationGracePeriodSeconds: 1,
        containers: [{ name: 'server', image: 'cni-live-migration/lab-app:1', args: ['server'] }],
      },
    },
  },
});

/** Tests nodes that an operator reboots during their migration. It leaves the lab with Cilium. */
export function describeReboot(shared: SharedLab): void {
  it(
    'recycles pods on their own nodes, and continues with a node after an operator has rebooted it',
    async () => {
      const { lab, temporal } = await shared.ready();
      await apply(lab, ...lab.layout.nodeNames.map(local));
      const cli = new TemporalCli(temporal, lab.layout.context);
      const more = { drain: { mode: 'recycle' }, reboot: { mode: 'wait-for-human' } } as const;
      await cli.start(JSON.stringify(labMigrationRequest(lab, 'none', more)));
      for (const name of lab.layout.nodeNames) {
        const asked = ({ nodes }: MigrationStatus): boolean =>
          nodes.some((node) => node.name === name && node.waitingFor === `a reboot of ${name}`);
        await cli.waitForStatus(`${name} to wait for its reboot`, asked, timeLimits.nodeStep);
        const bootId = async (): Promise<string | undefined> =>
          (await read<V1Node>(lab, 'node', name)).status?.nodeInfo?.bootID;
        const before = await bootId();
        await rebootMachine(lab.layout.machineDir(name));
        await waitFor(`${name} to have another boot ID`, async () => (await bootId()) !== before, {
          timeoutMs: timeLimits.clusterChange,
        });
      }
      expect(await cli.waitForEnd()).toMatchObject({ status: 'COMPLETED', result: { phase: 'done' } });
      const { items } = await read<V1PodList>(lab, 'pods', '-A');
      const onPodNetwork = items.filter(({ spec }) => spec?.hostNetwork !== true);
      expect(onPodNetwork.filter(({ status }) => !contains(targetPodCidr, status?.podIP))).toEqual([]);
      const locals = onPodNetwork.filter(({ metadata }) => metadata?.name?.startsWith('local-'));
      expect(locals.map(({ metadata, spec }) => `${metadata?.name} on ${spec?.nodeName}`).sort()).toEqual([
        ...['local-node1-0 on node1', 'local-node2-0 on node2'],
      ]);
    },
    timeLimits.wholeMigration
  );
}
