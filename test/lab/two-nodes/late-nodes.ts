import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { V1DaemonSet, V1Node } from '@kubernetes/client-node';
import { labUp, type Lab } from '../../../lab/cluster/lab.ts';
import { kubeletHoldFile } from '../../../lab/cluster/node.ts';
import { runInside, stopMachine } from '../../../lab/machine/machine.ts';
import { waitFor } from '../../../lab/process.ts';
import type { MigrationStatus } from '../../../model/status.ts';
import { apply } from '../../support/objects.ts';
import { canalOrProjectLines, nodeTraces } from '../../support/node-traces.ts';
import { listPods, onCilium } from '../../support/pod-networks.ts';
import { read } from '../../support/reads.ts';
import type { SharedLab } from '../../support/shared-lab.ts';
import { TemporalCli } from '../../support/temporal-cli.ts';
import { timeLimits } from '../../support/time-limits.ts';
import { expectEventually } from '../../support/wait-until-stable.ts';
import { local } from './reboot.ts';

/** Name under which a node keeps the image of Cilium's agent while Kubernetes must not find it. */
const hiddenImage = 'lab.invalid/hidden:1';

/** Returns the image of Cilium's agent. */
async function readAgentImage(lab: Lab): Promise<string> {
  const { spec } = await read<V1DaemonSet>(lab, '-n', 'kube-system', 'daemonset', 'cilium');
  return spec?.template.spec?.containers.find(({ name }) => name === 'cilium-agent')?.image ?? '';
}

/** Renames an image of a node. */
async function renameImage(lab: Lab, node: string, from: string, to: string): Promise<void> {
  const images = (...args: string[]) =>
    runInside(lab.layout.machineDir(node), ['ctr', '-n', 'k8s.io', 'images', ...args]);
  await images('tag', '--force', from, to);
  await images('rm', from);
}

/** Starts a node that joins the cluster, on which Cilium's agent cannot start: its image is not there yet. */
async function joinWithoutAgent({ layout }: Lab, node: string): Promise<Lab> {
  const hold = path.join(layout.machineDir(node), kubeletHoldFile);
  await mkdir(path.dirname(hold), { recursive: true });
  await writeFile(hold, '');
  const nodes = layout.nodeNames.length + 1;
  const lab = await labUp({ name: layout.record.name, nodes, network: false, ephemeral: true });
  const runs = (): Promise<boolean> =>
    runInside(layout.machineDir(node), ['ctr', 'version']).then(
      () => true,
      () => false
    );
  await waitFor(`containerd of ${node}`, runs, { timeoutMs: timeLimits.serviceStart });
  await renameImage(lab, node, await readAgentImage(lab), hiddenImage);
  await rm(hold);
  return lab;
}

/** Returns the status of a node's condition Ready. */
async function readiness(lab: Lab, node: string): Promise<string | undefined> {
  const { items } = await read<{ items: V1Node[] }>(lab, 'nodes');
  const found = items.find(({ metadata }) => metadata?.name === node);
  return found?.status?.conditions?.find(({ type }) => type === 'Ready')?.status;
}

/** Returns the names of the pods on a node, with their network; host-network pods are left out. */
async function podNetworks(lab: Lab, node: string): Promise<string[]> {
  const pods = await listPods(lab, '-A', '--field-selector', `spec.nodeName=${node}`);
  return pods
    .filter(({ spec, status }) => spec?.hostNetwork !== true && status?.podIP !== undefined)
    .map((pod) => `${pod.metadata?.name} on ${onCilium(pod) ? 'Cilium' : 'Canal'}`)
    .sort();
}

/**
 * Tests nodes that join, or are switched off, while the cleanup awaits its approval. It continues the migration of
 * `reboot.ts`, to its end.
 */
export function describeLateNodes(shared: SharedLab): void {
  it(
    'removes Canal only when a node that joined runs its pods on Cilium, and cleans one that was off when it is back',
    async () => {
      const { lab: before, temporal } = shared.current();
      const cli = new TemporalCli(temporal, before.layout.context);
      const lab = await joinWithoutAgent(before, 'node3');
      await stopMachine(lab.layout.machineDir('node2'));
      await apply(lab, local('node3'));
      await expectEventually('node3 to join', () => readiness(lab, 'node3'), 'False');
      await expectEventually('node2 to be off', () => readiness(lab, 'node2'), 'Unknown');

      await cli.send('approve', { cleanup: true });
      const isPaused = ({ paused, phase }: MigrationStatus): boolean => phase === 'cleanup' && paused !== undefined;
      const { paused } = await cli.waitForStatus('the cleanup to be paused', isPaused, timeLimits.nodeStep);
      expect(paused?.reason).toMatch(/Canal cannot be removed yet: .*node3/);
      // Neither network serves its pods yet: Canal starts on no node that joins.
      expect(await podNetworks(lab, 'node3')).toEqual([]);

      await renameImage(lab, 'node3', hiddenImage, await readAgentImage(lab));
      await lab.kubectl(
        '-n',
        'kube-system',
        'delete',
        'pod',
        '-l',
        'k8s-app=cilium',
        '--field-selector',
        'spec.nodeName=node3'
      );
      await expectEventually('node3 to be ready', () => readiness(lab, 'node3'), 'True');
      await expectEventually(
        'its pod to run',
        async () => (await podNetworks(lab, 'node3')).includes('local-node3-0 on Cilium'),
        true
      );
      await cli.send('resume', {});
      const isLeft = ({ waitingFor = '' }: MigrationStatus): boolean => /^.*node2, which is not Ready/.test(waitingFor);
      await cli.waitForStatus('node2 to be the last one', isLeft, timeLimits.wholeNode);

      await labUp({ name: lab.layout.record.name, nodes: 3, network: false, ephemeral: true });
      expect(await cli.waitForEnd()).toMatchObject({ status: 'COMPLETED', result: { phase: 'done' } });
      for (const node of lab.layout.nodeNames) {
        const traces = await nodeTraces(lab.layout.machineDir(node));
        expect({ node, traces: canalOrProjectLines(traces) }).toEqual({ node, traces: [] });
        const networks = await podNetworks(lab, node);
        expect({ node, networks }).toEqual({
          node,
          networks: networks.map((line) => line.replace(/ on .*/, ' on Cilium')),
        });
        expect(networks).toContain(`local-${node}-0 on Cilium`);
      }
    },
    timeLimits.wholeMigration
  );
}
