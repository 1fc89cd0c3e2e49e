import type { V1Pod } from '@kubernetes/client-node';
import { MockActivityEnvironment } from '@temporalio/testing';
import { restartAgentOnce } from '../../activities/cilium/agent-replacement.ts';
import type { ClusterConnection } from '../../activities/kubernetes/connection.ts';

const label = 'io.cilium.migration/cilium-default';
const annotation = 'cni-live-migration/replaced-agent';

interface Patch {
  metadata: { labels?: Record<string, string>; annotations?: Record<string, string> };
}

/**
 * Returns a node whose agents start at any time: one that starts before the node has the label reads a configuration
 * without it.
 * @param before agent that exists before the first request, and one that its controller creates after the first read.
 */
function createNode({ first, afterFirstRead }: { first?: string; afterFirstRead?: string }) {
  const labels: Record<string, string> = {};
  const annotations: Record<string, string> = {};
  const agents: { uid: string; labelled: boolean }[] = [];
  const start = (uid: string): number => agents.push({ uid, labelled: labels[label] !== undefined });
  if (first !== undefined) start(first);
  let reads = 0;
  const core = {
    readNode: () => Promise.resolve({ metadata: { labels, annotations } }),
    patchNode: ({ body }: { body: Patch }) => {
      // The controller starts the agent at the last moment before the label.
      if (body.metadata.labels !== undefined && reads === 0 && afterFirstRead !== undefined) start(afterFirstRead);
      Object.assign(labels, body.metadata.labels);
      Object.assign(annotations, body.metadata.annotations);
      return Promise.resolve({});
    },
    listNamespacedPod: () => {
      const items = agents.map(({ uid }) => ({
        metadata: { name: uid, uid },
        status: { conditions: [{ type: 'Ready', status: 'True' }] },
      })) as V1Pod[];
      if (reads++ === 0 && afterFirstRead !== undefined && agents.length === 0) start(afterFirstRead);
      return Promise.resolve({ items });
    },
    deleteNamespacedPod: ({ name }: { name: string }) => {
      agents.splice(0, agents.length, ...agents.filter(({ uid }) => uid !== name));
      start('successor');
      return Promise.resolve({});
    },
  };
  return { connection: { core } as unknown as ClusterConnection, annotations, agents };
}

const flip = (connection: ClusterConnection) =>
  new MockActivityEnvironment().run(() => restartAgentOnce(connection, 'n1', 'flip', { labels: { [label]: 'true' } }));

it('replaces the agent of the node', async () => {
  const { connection, annotations, agents } = createNode({ first: 'old' });

  await flip(connection);

  expect(annotations[annotation]).toBe('flip old');
  expect(agents).toEqual([{ uid: 'successor', labelled: true }]);
});

it('does not accept an agent that started directly before the node was labelled', async () => {
  const { connection, agents } = createNode({ afterFirstRead: 'early' });

  await flip(connection);

  expect(agents).toEqual([{ uid: 'successor', labelled: true }]);
});

it('replaces an agent once only', async () => {
  const { connection, agents } = createNode({ first: 'old' });
  await flip(connection);
  agents.splice(0, 1, { uid: 'later', labelled: true });

  await flip(connection);

  expect(agents).toEqual([{ uid: 'later', labelled: true }]);
});
