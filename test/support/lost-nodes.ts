import { fakeCluster, permanent } from './fake-cluster.ts';
import type { Hold } from './interventions.ts';

type Before = Hold['before'];

/** Activities that need a kubelet on their node. */
const needKubelet = [
  ...[
    'flipNode',
    'revertNodeFlip',
    'restoreSourceCni',
    'restartOutdatedAgent',
    'cleanHost',
    'verify canal',
    'verify cilium',
  ],
];

/** What happens to a node. */
export type Loss = 'switched off' | 'deleted';

/**
 * Returns a cluster of three nodes, of which a test switches off or deletes node `b`: what needs its kubelet then fails as on
 * a real cluster.
 * @param loss the loss, and the first activity before which it happens, with or without a node. @default none
 * @param before called before each activity. @default nothing
 */
export function clusterWithLostNode(loss?: { kind: Loss; at: string }, before?: Before) {
  let isLost = false;
  const cluster = fakeCluster({
    nodes: ['a', 'b', 'c'],
    before: async (activity, node) => {
      await before?.(activity, node);
      const call = node === undefined ? activity : `${activity} ${node}`;
      if (loss !== undefined && !isLost && (call === loss.at || activity === loss.at)) {
        isLost = true;
        lose(loss.kind);
      }
      if (node === 'b' && needKubelet.includes(activity) && cluster.nodes.get('b')?.ready === false)
        throw permanent('NodeNotReady', 'the kubelet of b has not reported for a minute');
    },
    silentNodes: () =>
      [...cluster.nodes.values()].filter(({ ready, flipped }) => !ready && flipped).map(({ name }) => name),
  });
  const lose = (kind: Loss): void => {
    if (kind === 'deleted') cluster.nodes.delete('b');
    else Object.assign(cluster.nodes.get('b') ?? {}, { ready: false });
  };
  const bringBack = (): void => {
    Object.assign(cluster.nodes.get('b') ?? {}, { ready: true });
  };
  return { cluster, lose, bringBack };
}
