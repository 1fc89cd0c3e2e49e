import type { Activities } from '../../activities/index.ts';
import { fakeCluster } from './fake-cluster.ts';

type FakeOptions = Parameters<typeof fakeCluster>[0];

/** Combines several fake clusters behind one set of activities: each call goes to the cluster that it names. */
export function fakeFleet(options: Record<string, FakeOptions>) {
  const clusters = Object.fromEntries(Object.entries(options).map(([name, some]) => [name, fakeCluster(some)]));
  type Fake = ReturnType<typeof fakeCluster>;
  const [any] = Object.values(clusters) as [Fake, ...Fake[]];
  const activities = Object.fromEntries(
    Object.keys(any.activities).map((activity) => [
      activity,
      (argument: { cluster?: string; input?: { cluster: string } }) => {
        const name = argument.cluster ?? argument.input?.cluster;
        // Any fake answers calls about no cluster, such as those about maintenance windows.
        const fake = (name === undefined ? any : clusters[name]) ?? any;
        return (fake.activities as Record<string, (argument: unknown) => unknown>)[activity]?.(argument);
      },
    ])
  ) as unknown as Activities;
  return { activities, clusters };
}
