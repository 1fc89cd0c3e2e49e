import { setTimeout as sleep } from 'node:timers/promises';
import { PatchStrategy, setHeaderOptions } from '@kubernetes/client-node';
import type { NamedObject } from '../../activities/kubernetes/apply.ts';
import { ifFound } from '../../activities/kubernetes/errors.ts';
import { removeLostPods } from '../../activities/kubernetes/lost-pods.ts';
import { helperNamespace, ownedLabels, unfinishedAnnotation } from '../../activities/kubernetes/names.ts';
import { readUnfinished } from '../../activities/helpers/unfinished.ts';
import { waitFor } from '../../lab/process.ts';
import type { RemainingNode } from '../../model/remaining-nodes.ts';
import { createLabActivities } from '../support/activity.ts';
import { useRepeatedActivities } from '../support/repeatable-cluster.ts';
import { inNamespace, named, ownNamespace } from '../support/repeatable-objects.ts';
import { timeLimits } from '../support/time-limits.ts';

const system = 'kube-system';
const gone = 'gone';

/** Node n1 has a kubelet, which is played; the kubelet of the node `gone` has not reported for minutes. */
const { lab, cluster, connection, apply, remove } = useRepeatedActivities(['n1']);
const activities = () => createLabActivities(lab(), undefined, undefined, () => sleep(200));
const merge = setHeaderOptions('Content-Type', PatchStrategy.MergePatch);

function daemonSet(namespace: string, name: string, containers: readonly string[], more: object = {}): NamedObject {
  const labels = { app: name, ...ownedLabels };
  const spec = {
    ...{ tolerations: [{ operator: 'Exists' }], terminationGracePeriodSeconds: 1 },
    containers: containers.map((container) => ({ name: container, image: 'none' })),
    ...more,
  };
  const template = { metadata: { labels }, spec };
  const object = named('apps/v1', 'DaemonSet', name, { spec: { selector: { matchLabels: { app: name } }, template } });
  return inNamespace(namespace, object);
}

const canal = daemonSet(system, 'canal', ['calico-node', 'kube-flannel'], {
  volumes: [{ name: 'flannel-cfg', configMap: { name: 'canal-config' } }],
});
const ofUser = daemonSet(system, 'logs', ['logs']);

async function podsOn(node: string, namespace: string): Promise<string[]> {
  const { items } = await connection().core.listNamespacedPod({ namespace, fieldSelector: `spec.nodeName=${node}` });
  return items.map(({ metadata }) => metadata?.labels?.['app'] ?? '').sort();
}

async function waitForPods(node: string, namespace: string, apps: readonly string[]): Promise<void> {
  await waitFor(
    `pods of ${apps.join()} on ${node}`,
    async () => (await podsOn(node, namespace)).join() === apps.join(),
    { timeoutMs: timeLimits.clusterChange }
  );
}

beforeAll(async () => {
  const { core } = connection();
  await core.createNode({ body: { metadata: { name: gone, labels: { 'kubernetes.io/os': 'linux' } } } });
  const before = new Date(Date.now() - 180_000).toISOString();
  const ready = { type: 'Ready', status: 'Unknown', lastHeartbeatTime: before, lastTransitionTime: before };
  const resources = { cpu: '64', memory: '64Gi', pods: '500' };
  const status = { capacity: resources, allocatable: resources, conditions: [ready] };
  await core.patchNodeStatus({ name: gone, body: { status } }, merge);
});

it('a removal of Canal ends although a node is switched off, and leaves pods of others there', async () => {
  await apply(canal, ofUser);
  for (const node of ['n1', gone]) await waitForPods(node, system, ['canal', 'logs']);
  await remove(ofUser);

  await activities().removeCanal(cluster());

  expect(await podsOn('n1', system)).toEqual([]);
  expect(await podsOn(gone, system)).toEqual(['logs']);
  expect(await removeLostPods(connection(), { namespace: system, daemonSets: ['canal'] })).toEqual([]);
  const daemonSets = await connection().apps.listNamespacedDaemonSet({ namespace: system });
  expect(daemonSets.items).toEqual([]);
});

describe('our namespace', () => {
  const at = '2026-01-01T00:00:00.000Z';
  const remaining: RemainingNode = {
    ...{ node: gone, since: at, work: ['clean-canal'], skipped: { by: 'ann', reason: 'no power', at } },
  };
  const readNamespace = () => ifFound(connection().core.readNamespace({ name: helperNamespace }));

  it('stays with the record of a node that remains, without the helpers', async () => {
    await apply(ownNamespace);
    await apply(daemonSet(helperNamespace, 'prober', ['prober']));
    await apply(
      ...['Service', 'ConfigMap', 'ServiceAccount'].map((kind) =>
        inNamespace(helperNamespace, {
          ...named('v1', kind, 'prober'),
          ...(kind === 'Service' && { spec: { ports: [{ port: 80 }] } }),
        })
      )
    );
    for (const node of ['n1', gone]) await waitForPods(node, helperNamespace, ['prober']);
    await activities().recordUnfinished({ ...cluster(), record: { onlyNodes: true, nodes: [remaining] } });

    for (let time = 0; time < 2; time++) await activities().removeHelpers(cluster());

    expect(await readUnfinished(connection())).toEqual({ onlyNodes: true, nodes: [remaining] });
    expect((await readNamespace())?.metadata?.deletionTimestamp).toBeUndefined();
    const { core, apps } = connection();
    const namespace = helperNamespace;
    const lists = [
      ...(await apps.listNamespacedDaemonSet({ namespace })).items,
      ...(await core.listNamespacedPod({ namespace })).items,
      ...(await core.listNamespacedService({ namespace })).items,
    ];
    expect(lists).toEqual([]);
    expect((await core.listNamespacedConfigMap({ namespace })).items.map(({ metadata }) => metadata?.name)).toEqual([
      'kube-root-ca.crt',
    ]);
  });

  it('stays when the checks of a later run remove their pods', async () => {
    await activities().removeInspectors(cluster());

    expect(await readUnfinished(connection())).toEqual({ onlyNodes: true, nodes: [remaining] });
  });

  it('has no record any more when no node remains, and is removed although a pod of it is lost', async () => {
    const spec = { nodeName: gone, tolerations: [{ operator: 'Exists' }], containers: [{ name: 'c', image: 'none' }] };
    await apply(inNamespace(helperNamespace, named('v1', 'Pod', 'script', { spec })));
    await activities().recordUnfinished({ ...cluster(), record: { onlyNodes: true, nodes: [] } });
    expect((await readNamespace())?.metadata?.annotations?.[unfinishedAnnotation]).toBeUndefined();

    await activities().removeHelpers(cluster());

    expect(await readNamespace()).toBeUndefined();
  });

  it('is not created for a record without nodes', async () => {
    await activities().recordUnfinished({ ...cluster(), record: { onlyNodes: false, nodes: [] } });

    expect(await readNamespace()).toBeUndefined();
  });
});
