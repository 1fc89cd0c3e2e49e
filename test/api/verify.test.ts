import type { V1Pod } from '@kubernetes/client-node';
import { helperNamespace as namespace } from '../../activities/kubernetes/names.ts';
import { prober } from '../../activities/helpers/prober-ports.ts';
import { waitFor } from '../../lab/process.ts';
import { createLabActivities } from '../support/activity.ts';
import { apply, bareNode, barePod, get, waitForServiceAccount } from '../support/objects.ts';
import { useSharedControlPlane } from '../support/shared-control-plane.ts';
import { timeLimits } from '../support/time-limits.ts';

/** There is no kubelet: the tests set the status as one would. */
const lab = useSharedControlPlane();
const name = 'verify-one';

async function setPodStatus(pod: string, status: object): Promise<void> {
  const patch = ['patch', 'pod', pod, '-n', namespace, '--subresource=status', '--type=merge', '-p'];
  await lab().kubectl(...patch, JSON.stringify({ status }));
}

const at = (ip: string): object => ({ podIP: ip, podIPs: [{ ip }] });

async function startProber(pod: string, ip: string): Promise<void> {
  await apply(lab(), barePod(namespace, pod, 'one', { labels: { app: prober } }));
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

it('does not wait for the answers of a prober that is gone, and asks the one in its place', async () => {
  await apply(lab(), { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } }, bareNode('one'));
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
