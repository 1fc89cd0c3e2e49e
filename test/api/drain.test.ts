import type { V1PodDisruptionBudget, V1PodList } from '@kubernetes/client-node';
import type { DrainTarget } from '../../activities/node/drain.ts';
import type { DrainRound } from '../../model/drain-round.ts';
import { waitFor } from '../../lab/process.ts';
import type { DrainOptions } from '../../model/input.ts';
import { createLabActivities } from '../support/activity.ts';
import { apply, bareNode, barePod, get, waitForServiceAccount } from '../support/objects.ts';
import { useSharedControlPlane } from '../support/shared-control-plane.ts';
import { timeLimits } from '../support/time-limits.ts';

/** There is no kubelet: this loop ends terminating pods, as a kubelet would. */
let kubelet: Promise<void> | undefined;
let stopKubelet = false;
// Before the lab's own hook: it needs the API server.
afterAll(async () => {
  stopKubelet = true;
  await kubelet;
});

const lab = useSharedControlPlane();
const namespace = 'shop';
const options: DrainOptions = {
  mode: 'evict',
  timeoutSeconds: 60,
  deleteEmptyDirData: false,
  evictUnmanagedPods: true,
};

/** Runs one round over the node. */
const round = (node: string, more: Partial<DrainTarget> = {}): Promise<DrainRound> =>
  createLabActivities(lab()).drainNode({
    cluster: lab().layout.context,
    node,
    to: 'cilium',
    daemonSets: false,
    options,
    targetPodCidr: '10.245.0.0/16',
    forcedPods: [],
    roundSeconds: 10,
    ...more,
  });
const nothing: DrainRound = { left: [] };
const podsOn = async (node: string): Promise<string[]> =>
  (await get<V1PodList>(lab(), 'pods', '-n', namespace, '--field-selector', `spec.nodeName=${node}`)).items.map(
    (pod) => pod.metadata?.name ?? ''
  );

beforeAll(async () => {
  await lab().kubectl('create', 'namespace', namespace);
  await waitForServiceAccount(lab(), namespace);
  kubelet = (async () => {
    while (!stopKubelet) {
      const { items } = await get<V1PodList>(lab(), 'pods', '-n', namespace);
      for (const { metadata } of items) {
        if (metadata?.deletionTimestamp === undefined) continue;
        await lab().kubectl(
          '-n',
          namespace,
          'delete',
          'pod',
          metadata.name ?? '',
          '--grace-period=0',
          '--force',
          '--ignore-not-found'
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  })();
});

it('evicts the pods to move and keeps the others', async () => {
  await apply(
    lab(),
    bareNode('plain'),
    barePod(namespace, 'moves', 'plain'),
    barePod(namespace, 'stays', 'plain', { spec: { hostNetwork: true } })
  );
  expect(await round('plain')).toEqual(nothing);
  expect(await round('plain')).toEqual(nothing);
  expect(await podsOn('plain')).toEqual(['stays']);
});

it('evicts nothing while a consent is missing, and names pods and consents', async () => {
  const spec = { volumes: [{ name: 'cache', emptyDir: {} }] };
  await apply(
    lab(),
    bareNode('consent'),
    barePod(namespace, 'bare', 'consent'),
    barePod(namespace, 'cached', 'consent', { spec })
  );
  const refused = await round('consent', { options: { ...options, evictUnmanagedPods: false } }).catch(
    (error: unknown) => error as Error
  );
  expect(refused).toMatchObject({ type: 'DrainBlocked', nonRetryable: true });
  expect((refused as Error).message).toMatch(/shop\/bare: .*drain\.evictUnmanagedPods, or send forcePod/);
  await expect(round('consent')).rejects.toThrow(/shop\/cached: .*\(cache\).*drain\.deleteEmptyDirData/);
  expect(await podsOn('consent')).toEqual(['bare', 'cached']);
  expect(await round('consent', { options: { ...options, deleteEmptyDirData: ['shop/cach*'] } })).toEqual(nothing);
  expect(await podsOn('consent')).toEqual([]);
});

/** Creates a pod that counts as healthy, under the given number of budgets, none of which allows its eviction. */
async function guardedPod(node: string, ...budgets: string[]): Promise<string> {
  const labels = { app: node };
  const objects = budgets.map((name) => ({
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name, namespace },
    spec: { minAvailable: 1, selector: { matchLabels: labels } },
  }));
  const pod = `${node}-pod`;
  await apply(lab(), bareNode(node), barePod(namespace, pod, node, { labels }), ...objects);
  const status = JSON.stringify({ status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] } });
  await lab().kubectl('-n', namespace, 'patch', 'pod', pod, '--subresource=status', '--type=merge', '-p', status);
  // With several budgets, the controller counts the pod for one of them.
  const counted = async (): Promise<boolean> => {
    const currentBudgets = await Promise.all(
      budgets.map((name) => get<V1PodDisruptionBudget>(lab(), 'pdb', '-n', namespace, name))
    );
    return currentBudgets.some(({ status: state }) => state?.currentHealthy === 1);
  };
  await waitFor('the budget to count its pod', counted, { timeoutMs: timeLimits.clusterChange });
  return pod;
}

it('waits for a disruption budget, names it, and continues when it allows the eviction', async () => {
  const pod = await guardedPod('guarded', 'guard');
  const reason = 'PodDisruptionBudget shop/guard allows 0 disruptions (healthy pods: 1, required: 1)';
  expect(await round('guarded', { roundSeconds: 3 })).toEqual({
    left: [{ pod: `shop/${pod}`, kind: 'DisruptionBudget', reason }],
  });
  expect(await podsOn('guarded')).toEqual([pod]);
  const draining = round('guarded', { roundSeconds: 60 });
  await lab().kubectl('-n', namespace, 'delete', 'pdb', 'guard');
  expect(await draining).toEqual(nothing);
  expect(await podsOn('guarded')).toEqual([]);
});

it('reports several budgets that permanently forbid every eviction', async () => {
  const pod = await guardedPod('twice', 'one', 'two');
  const { left } = await round('twice', { roundSeconds: 1 });
  expect(left).toMatchObject([{ pod: `shop/${pod}`, kind: 'DisruptionBudget' }]);
  expect(left[0]?.reason).toContain('PodDisruptionBudgets shop/one and shop/two both select it');
});

it('deletes a pod that an operator named, with its own grace period', async () => {
  const pod = await guardedPod('forced', 'never');
  expect(await round('forced', { forcedPods: [`${namespace}/${pod}`] })).toEqual(nothing);
  expect(await podsOn('forced')).toEqual([]);
});

it('reports a pod that is stuck, and the reason', async () => {
  await apply(lab(), bareNode('stuck'), barePod(namespace, 'held', 'stuck'));
  const patch = JSON.stringify({ metadata: { finalizers: ['example.com/hold'] } });
  await lab().kubectl('-n', namespace, 'patch', 'pod', 'held', '--type=merge', '-p', patch);
  const { left } = await round('stuck', { roundSeconds: 3 });
  // Its grace period is not over yet: the other half is in test/unit/drain-rules.test.ts.
  expect(left).toMatchObject([{ pod: 'shop/held', kind: 'Terminating' }]);
  const free = JSON.stringify({ metadata: { finalizers: null } });
  await lab().kubectl('-n', namespace, 'patch', 'pod', 'held', '--type=merge', '-p', free);
  expect(await round('stuck')).toEqual(nothing);
});

it('does not evict another pod of the same name', async () => {
  await apply(lab(), bareNode('again'), barePod(namespace, 'web-0', 'again'));
  const rounds = round('again', { roundSeconds: 30 });
  await waitFor('the first to go', async () => (await podsOn('again')).length === 0, {
    timeoutMs: timeLimits.clusterChange,
    pollIntervalMs: 50,
  });
  await rounds;
  await apply(lab(), barePod(namespace, 'web-0', 'again', { spec: { hostNetwork: true } }));
  expect(await round('again')).toEqual(nothing);
  expect(await podsOn('again')).toEqual(['web-0']);
});
