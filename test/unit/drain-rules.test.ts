import { drainVerdict, needsRecycling } from '../../activities/kubernetes/drain-rules.ts';
import type { PodFacts } from '../../activities/kubernetes/pods.ts';

const strict = { timeoutSeconds: 60, deleteEmptyDirData: false, evictUnmanagedPods: false };
const target = '10.245.0.0/16';

const pod: PodFacts = {
  key: 'shop/web-1',
  namespace: 'shop',
  name: 'web-1',
  uid: 'u',
  node: 'n',
  ip: '10.244.1.5',
  hostNetwork: false,
  finished: false,
  mirror: false,
  controller: 'ReplicaSet',
  emptyDirs: [],
  labels: {},
  deletion: undefined,
  graceSeconds: 30,
};

describe('drainVerdict', () => {
  const deletion = { at: '2026-01-01T00:00:00Z', graceSeconds: 30 };
  it.each<[string, Partial<PodFacts>, Partial<typeof strict>, 'evict' | 'leave' | 'refuse']>([
    ['a pod with a controller', {}, {}, 'evict'],
    ['one without an address yet', { ip: undefined }, {}, 'evict'],
    ['a mirror pod', { mirror: true, controller: undefined }, {}, 'leave'],
    ['a finished pod', { finished: true, controller: 'Job' }, {}, 'leave'],
    ["one on the host's network", { hostNetwork: true }, {}, 'leave'],
    ['one of a DaemonSet', { controller: 'DaemonSet' }, {}, 'leave'],
    ['one that is on the target already', { ip: '10.245.1.5' }, {}, 'leave'],
    ['one without a controller', { controller: undefined }, {}, 'refuse'],
    ['one without a controller, by consent', { controller: undefined }, { evictUnmanagedPods: true }, 'evict'],
    ['one without a controller that ends anyway', { controller: undefined, deletion }, {}, 'evict'],
    ['one with emptyDir', { emptyDirs: ['cache'] }, {}, 'refuse'],
    ['one with emptyDir, by consent', { emptyDirs: ['cache'] }, { deleteEmptyDirData: true }, 'evict'],
    ['one with emptyDir, by the other consent', { emptyDirs: ['cache'] }, { evictUnmanagedPods: true }, 'refuse'],
  ])('%s', (_, facts, options, action) => {
    expect(drainVerdict({ ...pod, ...facts }, { ...strict, ...options }, target)).toMatchObject({ action });
  });

  it('names the volumes and the consent', () => {
    expect(drainVerdict({ ...pod, emptyDirs: ['cache', 'tmp'] }, strict, target)).toEqual({
      action: 'refuse',
      reason: 'its emptyDir data (cache, tmp) would be lost; consent with drain.deleteEmptyDirData',
    });
  });
});

it.each<[string, Partial<PodFacts>, boolean]>([
  ['a DaemonSet pod on the source', { controller: 'DaemonSet' }, true],
  ['a DaemonSet pod on the target', { controller: 'DaemonSet', ip: '10.245.0.9' }, false],
  ["a DaemonSet pod on the host's network", { controller: 'DaemonSet', hostNetwork: true }, false],
  ['another pod', {}, false],
])('recycles %s: %s', (_, facts, expected) => {
  expect(needsRecycling({ ...pod, ...facts }, target)).toBe(expected);
});
