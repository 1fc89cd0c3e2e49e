import type { V1Node, V1Pod, V1PodList } from '@kubernetes/client-node';
import type { Lab } from '../../../lab/cluster/lab.ts';
import { rebootMachine, runInside } from '../../../lab/machine/machine.ts';
import { labMigrationRequest, targetPodCidr } from '../../../lab/migration-request.ts';
import { waitFor } from '../../../lab/process.ts';
import { contains } from '../../../model/networks.ts';
import type { MigrationReport, MigrationStatus } from '../../../model/status.ts';
import { apply } from '../../support/objects.ts';
import { read } from '../../support/reads.ts';
import { meshFile, SecondPlugin } from '../../support/second-plugin.ts';
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

/** Expects the second plugin to work on every node, and Cilium not to compete with its installer. */
async function expectKeptPlugin(lab: Lab, plugin: SecondPlugin, { preflight = [] }: MigrationReport): Promise<void> {
  const check = preflight.find(({ check: name }) => name === 'other-cni');
  expect(check?.verdict).toBe('warn');
  expect(String(check?.evidence)).toContain(meshFile);
  for (const node of lab.layout.nodeNames) {
    const files = (await runInside(lab.layout.machineDir(node), ['ls', '/etc/cni/net.d'])).trim().split('\n');
    expect({ node, files }).toEqual({ node, files: ['05-cilium.conflist', meshFile] });
    const name = `local-${node}-0`;
    await lab.kubectl('delete', 'pod', name, '--wait');
    const isConfigured = async (): Promise<boolean> => {
      const pod = await read<V1Pod>(lab, 'pod', name).catch(() => undefined);
      const address = pod?.status?.podIP;
      return address !== undefined && (await plugin.configuredPods(node)).includes(address);
    };
    await waitFor(`the plugin to configure ${name}`, isConfigured, { timeoutMs: timeLimits.clusterChange });
    // The file is written at the flip, at the restart of the cutover and at reboots, and not repeatedly.
    expect(plugin.additions.get(node)).toBeLessThan(10);
  }
}

/** Tests nodes that an operator reboots during their migration. It leaves the lab with Cilium. */
export function describeReboot(shared: SharedLab): void {
  it(
    'recycles pods on their own nodes, continues after an operator has rebooted a node, and keeps the plugin of another program',
    async () => {
      const { lab, temporal } = await shared.ready();
      await apply(lab, ...lab.layout.nodeNames.map(local));
      const cli = new TemporalCli(temporal, lab.layout.context);
      const plugin = await SecondPlugin.install(lab);
      const { values, ...request } = labMigrationRequest(lab, 'none', {
        drain: { mode: 'recycle' },
        reboot: { mode: 'wait-for-human' },
      });
      await cli.start(JSON.stringify({ ...request, values: { ...values, cni: { exclusive: false } } }));
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
      const { status, result } = await cli.waitForEnd();
      expect({ status, result }).toMatchObject({ status: 'COMPLETED', result: { phase: 'done' } });
      const { items } = await read<V1PodList>(lab, 'pods', '-A');
      const onPodNetwork = items.filter(({ spec }) => spec?.hostNetwork !== true);
      expect(onPodNetwork.filter(({ status }) => !contains(targetPodCidr, status?.podIP))).toEqual([]);
      const locals = onPodNetwork.filter(({ metadata }) => metadata?.name?.startsWith('local-'));
      expect(locals.map(({ metadata, spec }) => `${metadata?.name} on ${spec?.nodeName}`).sort()).toEqual([
        ...['local-node1-0 on node1', 'local-node2-0 on node2'],
      ]);
      await expectKeptPlugin(lab, plugin, result as MigrationReport);
      await plugin.stop();
    },
    timeLimits.wholeMigration
  );
}
