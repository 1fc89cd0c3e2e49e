import { readDecision, recordDecision, removeDecision } from '../../activities/cluster/decision-records.ts';
import type { ClusterConnection } from '../../activities/kubernetes/connection.ts';
import { ownedLabels } from '../../activities/kubernetes/names.ts';

const annotation = 'cni-live-migration/rollback-begun';
const decision = { by: 'ann', reason: 'latency', at: '2026-01-01T00:00:00.000Z' };

const namespaceUid = '1';
const image = 'cilium:1';
const agents = { spec: { template: { spec: { containers: [{ name: 'cilium-agent', image }] } } } };

/**
 * A connection to a cluster with a namespace of our name and labels, and what was patched.
 * @param uid UID that is recorded as that of our namespace.
 */
function connect(record: string | undefined, uid = namespaceUid) {
  const patches: unknown[] = [];
  const annotations = record === undefined ? {} : { [annotation]: record };
  const labels = { ...ownedLabels, 'pod-security.kubernetes.io/enforce': 'privileged' };
  const none = () => Promise.resolve({ items: [], metadata: {} });
  const connection = {
    core: {
      readNamespace: () => Promise.resolve({ metadata: { uid: namespaceUid, labels, annotations } }),
      readNamespacedConfigMap: () => Promise.resolve({ data: { createdBy: 'worker', uid, hostImage: image } }),
      listNamespacedPod: none,
      patchNamespace: ({ body }: { body: { metadata: object } }) => {
        patches.push(body.metadata);
        return Promise.resolve();
      },
    },
    apps: { readNamespacedDaemonSet: () => Promise.resolve(agents) },
    objects: { list: none },
  } as unknown as ClusterConnection;
  return { connection, patches };
}

it('reads a recorded decision', async () => {
  expect(await readDecision(connect(JSON.stringify(decision)).connection, annotation)).toEqual(decision);
  expect(await readDecision(connect(undefined).connection, annotation)).toBeUndefined();
});

it('ignores the annotation of a namespace that is not ours, and writes none there', async () => {
  const { connection, patches } = connect(JSON.stringify(decision), 'another');

  expect(await readDecision(connection, annotation)).toBeUndefined();
  await expect(recordDecision(connection, annotation, decision)).rejects.toMatchObject({ type: 'ForeignNamespace' });
  await removeDecision(connection, annotation);
  expect(patches).toEqual([]);
});

it.each([
  ['not JSON', '{'],
  ['another type', '7'],
  ['no time', JSON.stringify({ ...decision, at: 'yesterday' })],
  ['too long', JSON.stringify({ ...decision, reason: 'x'.repeat(1_001) })],
])('counts a record that is not readable as the decision of an unknown person: %s', async (_, record) => {
  expect(await readDecision(connect(record).connection, annotation)).toMatchObject({
    by: 'unknown',
    reason: 'the record in the cluster is not readable',
  });
});

it('replaces control characters', async () => {
  const { connection } = connect(JSON.stringify({ ...decision, by: 'ann\u001b[2J' }));

  expect(await readDecision(connection, annotation)).toMatchObject({ by: 'ann\ufffd[2J' });
});

it('records the first decision only, and removes what is there', async () => {
  const [empty, recorded] = [connect(undefined), connect(JSON.stringify(decision))];
  for (const { connection } of [empty, recorded]) await recordDecision(connection, annotation, decision);
  expect(empty.patches).toEqual([{ uid: namespaceUid, annotations: { [annotation]: JSON.stringify(decision) } }]);
  expect(recorded.patches).toEqual([]);

  for (const { connection } of [empty, recorded]) await removeDecision(connection, annotation);
  expect(empty.patches).toHaveLength(1);
  expect(recorded.patches).toEqual([{ uid: namespaceUid, annotations: { [annotation]: null } }]);
});
