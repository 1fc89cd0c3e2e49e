import { ApiException, type V1Node, type V1Pod } from '@kubernetes/client-node';
import type { ClusterConnection } from '../../activities/kubernetes/connection.ts';
import { isLost, removeLostPods } from '../../activities/kubernetes/lost-pods.ts';
import { helperNamespace, ownedLabels } from '../../activities/kubernetes/names.ts';

const nowMs = Date.now();
const ago = (seconds: number): Date => new Date(nowMs - seconds * 1_000);

/** A node whose kubelet has not reported for a time. */
function node(name: string, { status = 'Unknown', seconds = 90 } = {}): V1Node {
  const condition = { type: 'Ready', status, lastTransitionTime: ago(seconds) };
  return { metadata: { name }, status: { conditions: [condition] } };
}

/** A pod of Canal's DaemonSet that should have ended, with the given differences. */
function pod(name: string, metadata: object = {}, nodeName = 'gone'): V1Pod {
  const owner = { apiVersion: 'apps/v1', kind: 'DaemonSet', name: 'canal', uid: 'u1', controller: true };
  return {
    metadata: {
      ...{ name, namespace: 'kube-system', uid: `uid of ${name}` },
      ...{ deletionTimestamp: ago(60), ownerReferences: [owner] },
      ...metadata,
    },
    spec: { nodeName, containers: [] },
  };
}

describe('a pod is lost', () => {
  it.each<[string, boolean, V1Pod, V1Node | undefined]>([
    ['when it is terminating and its kubelet has been silent for a minute', true, pod('a'), node('gone')],
    ['not while it is not terminating', false, pod('a', { deletionTimestamp: undefined }), node('gone')],
    ['not during its grace period', false, pod('a', { deletionTimestamp: ago(-5) }), node('gone')],
    ['not while its kubelet has some seconds to end it', false, pod('a', { deletionTimestamp: ago(5) }), node('gone')],
    ['not before a minute of silence', false, pod('a'), node('gone', { seconds: 50 })],
    ['not while the kubelet reports that the node is not Ready', false, pod('a'), node('gone', { status: 'False' })],
    ['not on a Ready node', false, pod('a'), node('gone', { status: 'True' })],
    ['not on a node that has left the cluster', false, pod('a'), undefined],
    ['not by the state of another node', false, pod('a', {}, 'here'), node('gone')],
  ])('%s', (_, lost, one, on) => {
    expect(isLost(one, on, nowMs)).toBe(lost);
  });
});

const missing = (): Promise<never> => Promise.reject(new ApiException(404, 'Not Found', '', {}));

/** Plays an API server with these pods and DaemonSets. @returns the deletions that it received. */
function apiServer(
  pods: readonly V1Pod[],
  daemonSets: Readonly<Record<string, { uid: string; deletionTimestamp?: Date }>> = {},
  deployments: readonly string[] = []
) {
  const deletions: unknown[] = [];
  const core = {
    listNamespacedPod: ({ namespace }: { namespace: string }) =>
      Promise.resolve({ items: pods.filter(({ metadata }) => metadata?.namespace === namespace) }),
    readNode: ({ name }: { name: string }) => Promise.resolve(node(name, name === 'gone' ? {} : { status: 'True' })),
    deleteNamespacedPod: (request: { name: string; body: unknown }) => {
      deletions.push(request);
      return Promise.resolve({});
    },
  };
  const apps = {
    readNamespacedDaemonSet: ({ name }: { name: string }) => {
      const metadata = daemonSets[name];
      return metadata === undefined ? missing() : Promise.resolve({ metadata });
    },
    readNamespacedDeployment: ({ name }: { name: string }) =>
      deployments.includes(name) ? Promise.resolve({ metadata: { name } }) : missing(),
  };
  return { connection: { core, apps } as unknown as ClusterConnection, deletions };
}

const canal = { namespace: 'kube-system', daemonSets: ['canal'] };

describe('of the lost pods, those are removed', () => {
  it.each<[string, Readonly<Record<string, { uid: string; deletionTimestamp?: Date }>>]>([
    ['whose DaemonSet is gone', {}],
    ['whose DaemonSet is being deleted', { canal: { uid: 'u1', deletionTimestamp: ago(60) } }],
    ['whose DaemonSet was replaced by another of its name', { canal: { uid: 'u2' } }],
  ])('%s, each exactly once', async (_, daemonSets) => {
    const { connection, deletions } = apiServer([pod('a'), pod('b', {}, 'here')], daemonSets);

    expect(await removeLostPods(connection, canal)).toEqual(['a']);

    const body = { gracePeriodSeconds: 0, preconditions: { uid: 'uid of a' } };
    expect(deletions).toEqual([{ name: 'a', namespace: 'kube-system', body }]);
  });

  const owner = (kind: string, name: string, more: object = {}) => ({
    ownerReferences: [{ apiVersion: 'apps/v1', kind, name, uid: 'u1', controller: true, ...more }],
  });

  it.each<[string, V1Pod]>([
    ['whose DaemonSet exists', pod('a')],
    ['of a DaemonSet of a user', pod('a', owner('DaemonSet', 'logs'))],
    ['of another kind with our name', pod('a', owner('StatefulSet', 'canal'))],
    ['of another API with our name', pod('a', owner('DaemonSet', 'canal', { apiVersion: 'apps.example/v1' }))],
    ['that only refer to our DaemonSet', pod('a', owner('DaemonSet', 'other', { controller: false }))],
    ['without a controller', pod('a', { ownerReferences: [], labels: ownedLabels })],
    ['of a Deployment', pod('a', { ...owner('ReplicaSet', 'web-1'), labels: { ...ownedLabels, app: 'web' } })],
  ])('but none %s', async (_, one) => {
    const { connection, deletions } = apiServer([one], { canal: { uid: 'u1' } });

    expect(await removeLostPods(connection, canal)).toEqual([]);

    expect(deletions).toEqual([]);
  });

  it('in our namespace, that are ours, without a controller or of a Deployment that is gone', async () => {
    const own = (name: string, metadata: object) => pod(name, { namespace: helperNamespace, ...metadata });
    const labels = { ...ownedLabels, app: 'identity-bridge' };
    const { connection } = apiServer(
      [
        own('script', { labels: ownedLabels, ownerReferences: [] }),
        own('bridge', { labels, ...owner('ReplicaSet', 'identity-bridge-1') }),
        own('kept', { labels: { ...labels, app: 'kept' }, ...owner('ReplicaSet', 'kept-1') }),
        own('guest', { ownerReferences: [] }),
      ],
      {},
      ['kept']
    );

    expect(await removeLostPods(connection, { namespace: helperNamespace, daemonSets: [] })).toEqual([
      'bridge',
      'script',
    ]);
  });
});
