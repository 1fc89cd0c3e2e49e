import { setTimeout as sleep } from 'node:timers/promises';
import { PatchStrategy, setHeaderOptions, type V1Pod } from '@kubernetes/client-node';
import type { ClusterConnection } from '../../activities/kubernetes/connection.ts';
import { ifFound } from '../../activities/kubernetes/errors.ts';

/** Interval between two passes over all pods, in ms. */
const passIntervalMs = 100;

/** Interval between two reports that a node is Ready, in ms. */
const heartbeatIntervalMs = 5_000;

const merge = setHeaderOptions('Content-Type', PatchStrategy.MergePatch);

/** Options of {@link startFakeKubelets}. */
interface FakeKubeletOptions {
  nodes: readonly string[];
  /** Returns the termination message of a pod whose containers run once. @default an empty one */
  message?: (pod: V1Pod) => string | Promise<string>;
}

/**
 * Plays the kubelets of some nodes, which it registers: pods become Ready, pods that run once succeed, and terminating
 * pods end.
 * @returns the function that ends them.
 */
export async function startFakeKubelets(
  connection: ClusterConnection,
  { nodes, message = () => '' }: FakeKubeletOptions
): Promise<() => Promise<void>> {
  for (const name of nodes)
    await connection.core.createNode({ body: { metadata: { name, labels: { 'kubernetes.io/os': 'linux' } } } });
  let stopped = false;
  let nextHeartbeatMs = 0;
  let pods = 0;
  const runPass = async (): Promise<void> => {
    if (Date.now() >= nextHeartbeatMs) {
      await Promise.all(nodes.map((name) => reportReady(connection, name)));
      nextHeartbeatMs = Date.now() + heartbeatIntervalMs;
    }
    const { items } = await connection.core.listPodForAllNamespaces({});
    for (const pod of items.filter(({ spec }) => nodes.includes(spec?.nodeName ?? ''))) {
      const { name = '', namespace = '', uid = '', deletionTimestamp } = pod.metadata ?? {};
      if (deletionTimestamp !== undefined) {
        // Not a successor of the same name.
        const body = { preconditions: { uid }, gracePeriodSeconds: 0 };
        await ifFound(connection.core.deleteNamespacedPod({ name, namespace, body }));
      } else if (pod.status?.phase === 'Pending') {
        const text = pod.spec?.restartPolicy === 'Never' ? await message(pod) : undefined;
        const body = { metadata: { uid }, status: podStatus(pod, ++pods, text) };
        await ifFound(connection.core.patchNamespacedPodStatus({ name, namespace, body }, merge));
      }
    }
  };
  const running = (async () => {
    while (!stopped) {
      // A conflict with a controller, or a control plane that is slow: the next pass tries again.
      await runPass().catch(() => undefined);
      await sleep(passIntervalMs);
    }
  })();
  return async () => {
    stopped = true;
    await running;
  };
}

async function reportReady({ core }: ClusterConnection, name: string): Promise<void> {
  const resources = { cpu: '64', memory: '64Gi', pods: '500' };
  const now = new Date().toISOString();
  const ready = { type: 'Ready', status: 'True', lastHeartbeatTime: now, lastTransitionTime: now };
  const status = { capacity: resources, allocatable: resources, conditions: [ready], nodeInfo: { bootID: 'boot-1' } };
  await core.patchNodeStatus({ name, body: { status } }, merge);
}

/**
 * @param index number of the pod; it determines its address, which is in 10.245.0.0/16.
 * @param message termination message of a pod that has ended; undefined for a pod that runs.
 */
function podStatus({ spec }: V1Pod, index: number, message: string | undefined): object {
  const hasEnded = message !== undefined;
  const podIP = spec?.hostNetwork === true ? '192.0.2.1' : `10.245.${Math.floor(index / 250)}.${1 + (index % 250)}`;
  const now = new Date().toISOString();
  const containerStatuses = (spec?.containers ?? []).map(({ name, image = '' }) => ({
    ...{ name, image, imageID: image, restartCount: 0, ready: !hasEnded, started: !hasEnded },
    state: hasEnded ? { terminated: { exitCode: 0, message } } : { running: { startedAt: now } },
  }));
  const conditions = [{ type: 'Ready', status: hasEnded ? 'False' : 'True', lastTransitionTime: now }];
  return { phase: hasEnded ? 'Succeeded' : 'Running', podIP, podIPs: [{ ip: podIP }], containerStatuses, conditions };
}
