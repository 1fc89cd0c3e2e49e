import type { V1Pod } from '@kubernetes/client-node';
import { helperNamespace as namespace, ownedLabels } from '../../activities/kubernetes/names.ts';
import { prober } from '../../activities/helpers/prober-ports.ts';
import { waitFor } from '../../lab/process.ts';
import { createLabActivities } from '../support/activity.ts';
import { apply, bareNode, barePod, get, recordNamespace, waitForServiceAccount } from '../support/objects.ts';
import { useSharedControlPlane } from '../support/shared-control-plane.ts';
import { timeLimits } from '../support/time-limits.ts';

/** There is no kubelet: the tests set the status as one would. */
const lab = useSharedControlPlane();
const name = 'verify-one';

async function setPodStatus(pod: string, status: object): Promise<void> {
  const patch = ['patch', 'pod', pod, '-n', namespace, '--subresource=status', '--type=merge', '-p'];
  await lab().kubectl(...patch, JSON.stringify({ status }));
}

/** Status of a pod that the kubelet rejects because the node has no free slot. */
const rejected = {
  phase: 'Failed',
  reason: 'OutOfpods',
  message: "Node didn't have enough resource: pods, requested: 1, used: 110, capacity: 110",
};

const at = (ip: string): object => ({ podIP: ip, podIPs: [{ ip }] });

/** Reports that the node is Ready, as its kubelet would. */
async function setNodeReady(): Promise<void> {
  const now = new Date().toISOString();
  const conditions = [{ type: 'Ready', status: 'True', lastHeartbeatTime: now, lastTransitionTime: now }];
  const patch = ['patch', 'node', 'one', '--subresource=status', '--type=merge', '-p'];
  await lab().kubectl(...patch, JSON.stringify({ status: { conditions } }));
}

async function startProber(pod: string, ip: string): Promise<void> {
  await apply(lab(), barePod(namespace, pod, 'one', { labels: { app: prober, ...ownedLabels } }));
  await setPodStatus(pod, { phase: 'Running', ...at(ip) });
}

/**
 * Waits for a pod that runs checks, other than an earlier one.
 * @returns its uid and its checks.
 */
async function waitForCheckPod(not?: string): Promise<{ uid: string | undefined; checks: string }> {
  let pod: V1Pod | undefined;
  const podExists = async (): Promise<boolean> => {
    pod = await get<V1Pod>(lab(), 'pod', '-n', namespace, name).catch(() => undefined);
    return pod !== undefined && pod.metadata?.uid !== not;
  };
  await waitFor('a pod that checks', podExists, { timeoutMs: timeLimits.clusterChange });
  const checks = pod?.spec?.containers[0]?.env?.find((variable) => variable.name === 'CHECKS')?.value ?? '';
  return { uid: pod?.metadata?.uid, checks };
}

it('does not wait for a removed prober, and uses its successor', async () => {
  await apply(lab(), { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } }, bareNode('one'));
  await recordNamespace(lab());
  await setNodeReady();
  await waitForServiceAccount(lab(), namespace);
  await startProber('first', '10.244.0.1');

  const target = { cluster: lab().layout.context, node: 'one', targetPodCidr: '10.245.0.0/16' };
  const verified = createLabActivities(lab()).verifyNode({ ...target, proberImage: 'prober:1', expected: 'cilium' });
  const before = await waitForCheckPod();
  expect(before.checks).toContain('10.244.0.1:');
  await setPodStatus(name, { phase: 'Running', ...at('10.245.0.9') });

  await startProber('second', '10.244.0.2');
  await lab().kubectl('delete', 'pod', 'first', '-n', namespace, '--force', '--grace-period=0');
  const after = await waitForCheckPod(before.uid);
  expect(after.checks).toContain('10.244.0.2:');
  expect(after.checks).not.toContain('10.244.0.1:');

  const outcome = [{ name: 'API server', ok: true, ms: 1 }];
  const terminated = { exitCode: 0, message: JSON.stringify(outcome) };
  const container = { name: 'check', image: '', imageID: '', ready: false, restartCount: 0, state: { terminated } };
  await setPodStatus(name, { phase: 'Succeeded', ...at('10.245.0.9'), containerStatuses: [container] });
  expect(await verified).toEqual(outcome);
});

it('reports a pod immediately that the kubelet rejects, with its reason', async () => {
  await setNodeReady();
  const target = { cluster: lab().layout.context, node: 'one', targetPodCidr: '10.245.0.0/16' };
  const before = await get<V1Pod>(lab(), 'pod', '-n', namespace, name).catch(() => undefined);
  const verified = createLabActivities(lab()).verifyNode({ ...target, proberImage: 'prober:1', expected: 'cilium' });
  const failed = expect(verified).rejects.toMatchObject({
    type: 'HelperPodFailed',
    nonRetryable: false,
    message: expect.stringContaining(
      `pod ${namespace}/${name} on one did not finish: OutOfpods: Node didn't`
    ) as string,
  });
  await waitForCheckPod(before?.metadata?.uid);
  await setPodStatus(name, rejected);
  await failed;
});

it('runs scripts in a pod without a critical priority, and reports its rejection immediately', async () => {
  await setNodeReady();
  await recordNamespace(lab(), { hostImage: 'cilium:1' });
  const cleaned = createLabActivities(lab()).cleanHost({
    cluster: lab().layout.context,
    node: 'one',
    traces: 'canal',
    coexistenceImage: 'coexistence:1',
  });
  const failed = expect(cleaned).rejects.toMatchObject({ type: 'HelperPodFailed', nonRetryable: false });
  let pod: V1Pod | undefined;
  await waitFor(
    'the pod of the script',
    async () => {
      pod = await get<V1Pod>(lab(), 'pod', '-n', namespace, 'clean-canal-one').catch(() => undefined);
      return pod !== undefined;
    },
    { timeoutMs: timeLimits.clusterChange }
  );
  // The kubelet kills other pods for one of 2,000,000,000 and above.
  expect(pod?.spec?.priority).toBe(0);
  await setPodStatus('clean-canal-one', rejected);
  await failed;
});

it('reports a pod immediately that is deleted before it ends', async () => {
  await setNodeReady();
  const target = { cluster: lab().layout.context, node: 'one', targetPodCidr: '10.245.0.0/16' };
  const before = await get<V1Pod>(lab(), 'pod', '-n', namespace, name).catch(() => undefined);
  const verified = createLabActivities(lab()).verifyNode({ ...target, proberImage: 'prober:1', expected: 'cilium' });
  const failed = expect(verified).rejects.toMatchObject({
    type: 'HelperPodFailed',
    message: expect.stringContaining('it was deleted before it ended') as string,
  });
  await waitForCheckPod(before?.metadata?.uid);
  await lab().kubectl('delete', 'pod', name, '-n', namespace, '--force', '--grace-period=0');
  await failed;
});

it('does not wait for a pod on a node that has left the cluster', async () => {
  await apply(lab(), bareNode('gone'));
  const target = { cluster: lab().layout.context, node: 'gone', targetPodCidr: '10.245.0.0/16' };
  const verified = createLabActivities(lab()).verifyNode({ ...target, proberImage: 'prober:1', expected: 'cilium' });
  const failed = expect(verified).rejects.toMatchObject({ type: 'NodeNotReady', nonRetryable: true });
  const podExists = async (): Promise<boolean> =>
    get(lab(), 'pod', '-n', namespace, 'verify-gone').then(
      () => true,
      () => false
    );
  await waitFor('the pod', podExists, { timeoutMs: timeLimits.clusterChange });
  await lab().kubectl('delete', 'node', 'gone');
  await lab().kubectl('delete', 'pod', 'verify-gone', '-n', namespace, '--force', '--grace-period=0');
  await failed;
});
