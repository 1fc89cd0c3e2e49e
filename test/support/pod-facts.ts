import type { PodFacts } from '../../activities/kubernetes/pods.ts';

/** Returns a running pod of a Deployment, for tests of rules; a test sets only the facts that it needs. */
export function podFacts(key: string, more: Partial<PodFacts> = {}): PodFacts {
  const [namespace = '', name = ''] = key.split('/');
  return {
    key,
    namespace,
    name,
    uid: `uid-${name}`,
    node: 'a',
    ip: '10.244.0.5',
    hostNetwork: false,
    finished: false,
    mirror: false,
    controller: 'ReplicaSet',
    emptyDirs: [],
    claims: [],
    serviceAccount: 'default',
    namedPorts: [],
    hostPorts: [],
    requests: { cpu: 0, memory: 0 },
    labels: {},
    annotations: {},
    ready: true,
    graceSeconds: 1,
    createdAt: '2026-01-01T00:00:00.000Z',
    finalizers: [],
    deletion: undefined,
    ...more,
  };
}
