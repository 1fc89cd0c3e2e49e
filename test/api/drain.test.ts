import type { V1PodDisruptionBudget, V1PodList } from '@kubernetes/client-node';
import { until } from '../../lab/process.ts';
import { activitiesOf } from '../support/activity.ts';
import { useLab } from '../support/lab.ts';
import { apply, bareNode, barePod, get } from '../support/objects.ts';

/** There is no kubelet: this ends pods that were told to end, as one would. */
let kubelet: Promise<void> | undefined;
let stopKubelet = false;
// Before the lab's own: it needs the API server.
afterAll(async () => {
  stopKubelet = true;
  await kubelet;
});

const lab = useLab({ nodes: 0 });
const namespace = 'shop';
const options = { timeoutSeconds: 10, deleteEmptyDirData: false, evictUnmanagedPods: true };
const drain = (node: string, more: Partial<typeof options> = {}): Promise<void> =>
  activitiesOf(lab()).drainNode({
    cluster: lab().layout.context,
    node,
    options: { ...options, ...more },
    targetPodCidr: '10.245.0.0/16',
  });
const podsOn = async (node: string): Promise<string[]> =>
  (await get<V1PodList>(lab(), 'pods', '-n', namespace, '--field-selector', `spec.nodeName=${node}`)).items.map(
    (pod) => pod.metadata?.name ?? ''
  );

beforeAll(async () => {
  await lab().kubectl('create', 'namespace', namespace);
  await until(
    'the default service account',
    () =>
      lab()
        .kubectl('-n', namespace, 'get', 'serviceaccount', 'default')
        .then(
          () => true,
          () => false
        ),
    {
      timeoutMs: 60_000,
    }
  );
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

it('evicts what has to move and leaves the rest', async () => {
  await apply(
    lab(),
    bareNode('plain'),
    barePod(namespace, 'moves', 'plain'),
    barePod(namespace, 'stays', 'plain', { spec: { hostNetwork: true } })
  );
  await drain('plain');
  await drain('plain');
  expect(await podsOn('plain')).toEqual(['stays']);
});

it('evicts nothing at all while a consent is missing, and names pods and consents', async () => {
  const spec = { volumes: [{ name: 'cache', emptyDir: {} }] };
  await apply(
    lab(),
    bareNode('consent'),
    barePod(namespace, 'bare', 'consent'),
    barePod(namespace, 'cached', 'consent', { spec })
  );
  const failure = await drain('consent', { evictUnmanagedPods: false }).catch((error: unknown) => error as Error);
  expect(failure).toMatchObject({ type: 'DrainBlocked', nonRetryable: true });
  expect((failure as Error).message).toMatch(/shop\/bare: .*drain\.evictUnmanagedPods/);
  await expect(drain('consent')).rejects.toThrow(/shop\/cached: .*\(cache\).*drain\.deleteEmptyDirData/);
  expect(await podsOn('consent')).toEqual(['bare', 'cached']);
  await drain('consent', { deleteEmptyDirData: true });
  expect(await podsOn('consent')).toEqual([]);
});

it('waits for a disruption budget, names it when the time is over, and goes on once it allows', async () => {
  const labels = { app: 'guarded' };
  const budget = { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata: { name: 'guard', namespace } };
  await apply(lab(), bareNode('guarded'), barePod(namespace, 'only-one', 'guarded', { labels }), {
    ...budget,
    spec: { minAvailable: 1, selector: { matchLabels: labels } },
  });
  const status = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] };
  await lab().kubectl(
    '-n',
    namespace,
    'patch',
    'pod',
    'only-one',
    '--subresource=status',
    '--type=merge',
    '-p',
    JSON.stringify({ status })
  );
  await until(
    'the budget to count its pod',
    async () => (await get<V1PodDisruptionBudget>(lab(), 'pdb', '-n', namespace, 'guard')).status?.currentHealthy === 1,
    { timeoutMs: 60_000 }
  );
  const failure = await drain('guarded').catch((error: unknown) => error as Error);
  expect(failure).toMatchObject({ type: 'DrainBlocked' });
  expect((failure as Error).message).toMatch(/pod shop\/only-one: .*disruption budget guard/);
  expect(await podsOn('guarded')).toEqual(['only-one']);

  const draining = drain('guarded', { timeoutSeconds: 60 });
  await lab().kubectl('-n', namespace, 'delete', 'pdb', 'guard');
  await draining;
  expect(await podsOn('guarded')).toEqual([]);
});
