import type { V1Node } from '@kubernetes/client-node';
import { computeBucket, computeDigest } from '../../model/node-digest.ts';
import { expandGroups, type NodeFacts } from '../../model/nodes.ts';
import { waitFor } from '../../lab/process.ts';
import { createLabActivities } from '../support/activity.ts';
import { apply, bareNode, barePod, get, waitForServiceAccount } from '../support/objects.ts';
import { useLab } from '../support/lab.ts';
import { timeLimits } from '../support/time-limits.ts';

/** Of its own: a test compares all nodes. */
const lab = useLab({ nodes: 0 });
const read = (name: string): Promise<V1Node> => get<V1Node>(lab(), 'node', name);
const target = (node: string) => ({ cluster: lab().layout.context, node });

it('cordons and uncordons a node, each idempotently', async () => {
  await apply(lab(), bareNode('own-cordon'));
  const { cordonNode, uncordonNode } = createLabActivities(lab());
  await cordonNode(target('own-cordon'));
  await cordonNode(target('own-cordon'));
  expect((await read('own-cordon')).spec?.unschedulable).toBe(true);
  await uncordonNode(target('own-cordon'));
  await uncordonNode(target('own-cordon'));
  const node = await read('own-cordon');
  expect(node.spec?.unschedulable).toBeUndefined();
  expect(Object.keys(node.metadata?.annotations ?? {}).filter((key) => key.startsWith('cni-live-migration'))).toEqual(
    []
  );
});

it('keeps a node cordoned that others cordoned', async () => {
  await apply(lab(), bareNode('their-cordon'));
  await lab().kubectl('cordon', 'their-cordon');
  const { cordonNode, uncordonNode } = createLabActivities(lab());
  await cordonNode(target('their-cordon'));
  await uncordonNode(target('their-cordon'));
  expect((await read('their-cordon')).spec?.unschedulable).toBe(true);
});

it('waits for a reboot until the same deadline in every attempt', async () => {
  await apply(lab(), {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'no-reboot', annotations: { 'cni-live-migration/boot-before': '' } },
  });
  const { waitForReboot } = createLabActivities(lab());
  const deadlineMs = Date.now() + 1;
  for (let attempt = 0; attempt < 2; attempt++) {
    await expect(waitForReboot({ ...target('no-reboot'), deadlineMs })).rejects.toMatchObject({
      type: 'RebootMissing',
      message: expect.stringContaining(`timed out at ${new Date(deadlineMs).toISOString()}`) as string,
    });
  }
});

it('reports a removed node', async () => {
  const { cordonNode, uncordonNode } = createLabActivities(lab());
  await expect(cordonNode(target('no-such-node'))).rejects.toMatchObject({ type: 'NodeNotReady', nonRetryable: true });
  await expect(uncordonNode(target('no-such-node'))).resolves.toBeUndefined();
});

it('returns all nodes, or only those that changed for the caller', async () => {
  const { observeNodes } = createLabActivities(lab());
  const label = { 'io.cilium.migration/cilium-default': 'true' };
  await apply(
    lab(),
    ...['seen-1', 'seen-2'].map(bareNode),
    { apiVersion: 'v1', kind: 'Node', metadata: { name: 'seen-3', labels: label } },
    { apiVersion: 'v1', kind: 'Node', metadata: { name: 'seen-4', labels: label } }
  );
  await waitForServiceAccount(lab(), 'default');
  // A pod on Canal on each of the flipped nodes.
  for (const name of ['seen-3', 'seen-4']) {
    await apply(lab(), barePod('default', `on-${name}`, name));
    const status = { phase: 'Running', podIP: '10.244.7.7', podIPs: [{ ip: '10.244.7.7' }] };
    const patch = ['patch', 'pod', `on-${name}`, '--subresource=status', '--type=merge', '-p'];
    await lab().kubectl(...patch, JSON.stringify({ status }));
  }
  const request = { cluster: lab().layout.context, targetPodCidr: '10.245.0.0/16' };
  const all = expandGroups((await observeNodes(request)).groups);
  const seen = (nodes: readonly NodeFacts[]) =>
    nodes
      .filter(({ name }) => name.startsWith('seen-'))
      .map(({ name, flipped, podsOnSource }) => [name, flipped, podsOnSource]);
  expect(seen(all)).toEqual([
    ['seen-1', false, 0],
    ['seen-2', false, 0],
    ['seen-3', true, 1],
    ['seen-4', true, 1],
  ]);
  const known = computeDigest(all);
  expect(await observeNodes({ ...request, known, pods: ['seen-3', 'seen-4'] })).toEqual({ groups: [], buckets: [] });
  // Pods of nodes that the caller does not ask for are not read.
  const some = await observeNodes({ ...request, pods: ['seen-3'] });
  expect(seen(expandGroups(some.groups)).slice(2)).toEqual([
    ['seen-3', true, 1],
    ['seen-4', true, 0],
  ]);
  await lab().kubectl('label', 'node', 'seen-1', 'io.cilium.migration/cilium-default=true');
  const { groups, buckets } = await observeNodes({ ...request, known, pods: ['seen-1', 'seen-3', 'seen-4'] });
  expect(buckets).toEqual([computeBucket('seen-1')]);
  expect(seen(expandGroups(groups))).toContainEqual(['seen-1', true, 0]);
});

it('notices a node whose readiness changes, and one that joins, and nothing else', async () => {
  const { waitForNodeChange } = createLabActivities(lab());
  const { cluster } = target('');
  await apply(lab(), bareNode('change-1'));
  const setReady = async (status: 'True' | 'False'): Promise<void> => {
    const conditions = [{ type: 'Ready', status, lastHeartbeatTime: new Date().toISOString() }];
    const patch = ['patch', 'node', 'change-1', '--subresource=status', '--type=merge', '-p'];
    await lab().kubectl(...patch, JSON.stringify({ status: { conditions } }));
  };
  await setReady('True');
  const { items } = await get<{ items: V1Node[] }>(lab(), 'nodes');
  const known = items.map(({ metadata }) => ({
    name: metadata?.name ?? '',
    ready: metadata?.name === 'change-1',
  }));
  const waiting = { type: 'NotYet' };

  // A cordoned node is still Ready.
  await lab().kubectl('cordon', 'change-1');
  await expect(waitForNodeChange({ cluster, known })).rejects.toMatchObject(waiting);

  await setReady('False');
  await waitFor('the change', () => waitForNodeChange({ cluster, known }).then(...hasChanged), {
    timeoutMs: timeLimits.clusterChange,
  });

  await setReady('True');
  await apply(lab(), bareNode('change-2'));
  await waitFor('the new node', () => waitForNodeChange({ cluster, known }).then(...hasChanged), {
    timeoutMs: timeLimits.clusterChange,
  });
});

/** Handlers for a call that fails until something has changed. */
const hasChanged = [() => true, () => false] as const;
