import { mkdir, rm, writeFile } from 'node:fs/promises';
import type { V1Node, V1Pod } from '@kubernetes/client-node';
import { labUp, type Lab } from '../../../lab/cluster/lab.ts';
import { initPid, runInside, stopMachine } from '../../../lab/machine/machine.ts';
import { run, waitFor } from '../../../lab/process.ts';
import type { MigrationStatus } from '../../../model/status.ts';
import { apply } from '../../support/objects.ts';
import { nodeTraces, canalOrProjectLines } from '../../support/node-traces.ts';
import { listPods, onCilium } from '../../support/pod-networks.ts';
import { read } from '../../support/reads.ts';
import type { SharedLab } from '../../support/shared-lab.ts';
import { TemporalCli } from '../../support/temporal-cli.ts';
import { timeLimits } from '../../support/time-limits.ts';

/** The node that joins, and the one that is switched off. */
const [late, off] = ['node3', 'node2'];

const image = 'quay.io/cilium/cilium:v1.20.2';
const hiddenImage = 'hidden.local/cilium:1';

/** A pod on the pod network of every node, as early as possible. */
const everywhere = {
  apiVersion: 'apps/v1',
  kind: 'DaemonSet',
  metadata: { name: 'everywhere', namespace: 'default' },
  spec: {
    selector: { matchLabels: { app: 'everywhere' } },
    template: {
      metadata: { labels: { app: 'everywhere' } },
      spec: {
        terminationGracePeriodSeconds: 1,
        // Also on a node whose agent has not started, which Cilium's operator taints.
        tolerations: [{ operator: 'Exists' }],
        containers: [{ name: 'server', image: 'cni-live-migration/lab-app:1', args: ['server'] }],
      },
    },
  },
};

/** Renames an image on a node, so that it counts as not yet pulled, or is found again. */
async function renameImage(lab: Lab, node: string, from: string, to: string): Promise<void> {
  const ctr = ['ctr', '-n', 'k8s.io', 'images'];
  await runInside(lab.layout.machineDir(node), [...ctr, 'tag', from, to]);
  await runInside(lab.layout.machineDir(node), [...ctr, 'rm', from]);
}

/** Copies the plugins that Canal chains from a node, to which Canal's installer has written them, as a package would do. */
async function installPlugins({ layout }: Lab, from: string, to: string): Promise<void> {
  const folder = async (node: string): Promise<string> =>
    `/proc/${await initPid(layout.machineDir(node))}/root/opt/cni/bin`;
  const [source, target] = [await folder(from), await folder(to)];
  await mkdir(target, { recursive: true });
  for (const plugin of ['portmap', 'bandwidth']) await run('cp', [`${source}/${plugin}`, `${target}/`]);
}

/** Adds a node whose image of Cilium is not there yet. @returns the lab with the node. */
async function joinWithoutImage({ layout }: Lab): Promise<Lab> {
  const hold = layout.kubeletHoldFile(late);
  await mkdir(layout.machineDir(late), { recursive: true });
  await writeFile(hold, '');
  const larger = await labUp({ name: layout.record.name, nodes: 3, network: false, ephemeral: true });
  const hasContainerd = (): Promise<boolean> =>
    runInside(layout.machineDir(late), ['ctr', 'version']).then(
      () => true,
      () => false
    );
  await waitFor(`containerd of ${late}`, hasContainerd, { timeoutMs: timeLimits.serviceStart });
  await renameImage(larger, late, image, hiddenImage);
  await rm(hold);
  return larger;
}

/** Moves the pods of Deployments off a node, as before planned work on it, and switches the node off. */
async function switchOff(lab: Lab, node: string): Promise<void> {
  await lab.kubectl('cordon', node);
  await lab.kubectl('drain', node, '--ignore-daemonsets', '--delete-emptydir-data', '--timeout=120s');
  await lab.kubectl('uncordon', node);
  for (const deployment of ['coredns', 'cilium-operator'])
    await lab.kubectl('-n', 'kube-system', 'rollout', 'status', `deployment/${deployment}`, '--timeout=180s');
  await stopMachine(lab.layout.machineDir(node));
}

/** Waits until the agent of the node that joined cannot start for want of its image. */
async function waitForMissingImage(lab: Lab): Promise<void> {
  const isMissing = async (): Promise<boolean> => {
    const [agent] = await listPods(lab, '-n', 'kube-system', '-l', 'k8s-app=cilium', ...onNode(late));
    const states = [...(agent?.status?.initContainerStatuses ?? []), ...(agent?.status?.containerStatuses ?? [])];
    return states.some(({ state }) => /ErrImagePull|ImagePullBackOff/.test(state?.waiting?.reason ?? ''));
  };
  await waitFor(`the agent of ${late} to wait for its image`, isMissing, { timeoutMs: timeLimits.podsReady });
}

/** Returns the addresses of our pod on the node that joined; none while it has no network. */
async function addressesOfLatePod(lab: Lab): Promise<string[]> {
  const pods = await listPods(lab, '-l', 'app=everywhere', ...onNode(late));
  return pods.flatMap(({ status }) => status?.podIP ?? []);
}

/** Maximum number of times that a test resumes a migration, whose gates also pause it for paths that were lost. */
const maxResumes = 10;

/** Resumes the migration each time that it pauses, until a status is reached. */
async function resumeUntil(cli: TemporalCli, what: string, isReached: (status: MigrationStatus) => boolean) {
  const reasons: string[] = [];
  while (reasons.length < maxResumes) {
    const status = await cli.waitForStatus(what, (now) => now.paused !== undefined || isReached(now));
    if (isReached(status)) return;
    reasons.push(status.paused?.reason ?? '');
    await cli.update('resume', {});
  }
  throw new Error(`the migration was resumed ${maxResumes} times without reaching ${what}:\n${reasons.join('\n')}`);
}

/** True while the migration is paused for this reason. */
const isPausedFor =
  (reason: RegExp) =>
  ({ paused }: MigrationStatus): boolean =>
    reason.test(paused?.reason ?? '');

/** Tests nodes that join, or are switched off, while the cleanup waits. It continues with the lab of the test before it. */
export function describeLateNodes(shared: SharedLab): void {
  it(
    'keeps Canal off a node that joins, does not remove it while a pod has no network, and finishes a node when it is back',
    async () => {
      const { lab: smaller, temporal } = shared.current();
      const cli = new TemporalCli(temporal, smaller.layout.context);
      await cli.waitForCleanup();
      await apply(smaller, everywhere);
      await smaller.kubectl('rollout', 'status', 'daemonset/everywhere', '--timeout=300s');

      const lab = await joinWithoutImage(smaller);
      await switchOff(lab, off);
      await waitForMissingImage(lab);
      expect(await listPods(lab, '-n', 'kube-system', '-l', 'k8s-app=canal', ...onNode(late))).toEqual([]);
      expect(await addressesOfLatePod(lab)).toEqual([]);

      // With that node as it is, Canal is not removed.
      await cli.send('approve', { cleanup: true });
      const notReady = new RegExp(`Canal cannot be removed yet: .*${late}: it is not Ready`);
      await resumeUntil(cli, `a pause because of ${late}`, isPausedFor(notReady));

      // Nor is it while the agent runs, and the plugins that Canal's installer wrote to the other nodes are missing.
      await renameImage(lab, late, hiddenImage, image);
      await lab.kubectl('wait', '--for=condition=Ready', `node/${late}`, '--timeout=300s');
      const missing = new RegExp(`${late}.*: its agent is ready, .* CNI plugins portmap, bandwidth .* /opt/cni/bin`);
      await resumeUntil(cli, `a pause because of the plugins of ${late}`, isPausedFor(missing));
      expect(await addressesOfLatePod(lab)).toEqual([]);
      expect(await read(lab, 'daemonset', '-n', 'kube-system', 'canal')).toBeDefined();

      await installPlugins(lab, 'node1', late);
      await waitFor(`a pod of ${late}`, async () => (await addressesOfLatePod(lab)).length > 0, {
        timeoutMs: timeLimits.podsReady,
      });
      await waitForSilentNode(lab, off);
      await resumeUntil(cli, 'the removal', ({ remaining = [] }) => remaining.some(({ node }) => node === off));
      // Canal is removed everywhere else meanwhile.
      const left = (): Promise<V1Pod[]> =>
        listPods(lab, '-n', 'kube-system', '-l', 'k8s-app=canal', ...onNode('node1'));
      await waitFor('the end of Canal on node1', async () => (await left()).length === 0, {
        timeoutMs: timeLimits.clusterChange,
      });

      const waitsForNode = ({ waitingFor = '' }: MigrationStatus): boolean =>
        waitingFor.includes(`about ${off}, which`);
      await cli.waitForStatus(`the cleanup to wait for ${off}`, waitsForNode);
      await labUp({ name: lab.layout.record.name, nodes: 3, network: false, ephemeral: true });
      const { status, result } = await cli.waitForEnd();
      expect({ status, result }).toMatchObject({ status: 'COMPLETED', result: { phase: 'done' } });
      await lab.kubectl('rollout', 'status', 'daemonset/everywhere', '--timeout=300s');
      const pods = (await listPods(lab, '-A')).filter(({ spec }) => spec?.hostNetwork !== true);
      expect(pods.filter((pod) => !onCilium(pod)).map(({ metadata }) => metadata?.name)).toEqual([]);
      for (const node of lab.layout.nodeNames) {
        const traces = canalOrProjectLines(await nodeTraces(lab.layout.machineDir(node)));
        expect({ node, traces }).toEqual({ node, traces: [] });
      }
    },
    timeLimits.wholeMigration
  );
}

function onNode(node: string): string[] {
  return ['--field-selector', `spec.nodeName=${node}`];
}

/** Waits until Kubernetes has known for a minute that a node is silent. */
async function waitForSilentNode(lab: Lab, name: string): Promise<void> {
  const isSilent = async (): Promise<boolean> => {
    const { status } = await read<V1Node>(lab, 'node', name);
    const ready = status?.conditions?.find(({ type }) => type === 'Ready');
    const sinceMs = Date.now() - new Date(ready?.lastTransitionTime ?? Date.now()).getTime();
    return ready?.status === 'Unknown' && sinceMs > 65_000;
  };
  await waitFor(`${name} to be silent`, isSilent, { timeoutMs: timeLimits.podsReady, pollIntervalMs: 1_000 });
}
