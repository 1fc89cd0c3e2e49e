import { ApplicationFailure } from '@temporalio/common';
import type { Activities } from '../../activities/index.ts';
import type { ClusterFacts } from '../../workflows/model/source.ts';

/** What a test makes of the fake. */
interface FakeOptions {
  nodes?: string[];
  facts?: Partial<ClusterFacts>;
  /** Nodes that an earlier run has migrated. */
  migrated?: string[];
  /** Called before an activity takes effect; may throw, or take time. */
  before?: (activity: string, node: string | undefined) => void | Promise<void>;
}

/**
 * A cluster as far as workflows see it: which calls came, in which order, and what nodes look like after them. It stands
 * in for the activities in tests of the workflows' own logic; the activities are tested against a real API server.
 */
export function fakeCluster({ nodes = ['a', 'b', 'c'], facts = {}, migrated = [], before }: FakeOptions = {}) {
  const calls: string[] = [];
  const cordoned = new Set<string>();
  const flipped = new Set(migrated);

  async function call(activity: string, node?: string): Promise<void> {
    await before?.(activity, node);
    calls.push(node === undefined ? activity : `${activity} ${node}`);
  }

  const activities: Activities = {
    inspectCluster: async () => {
      await call('inspectCluster');
      return {
        kubernetesVersion: 'v1.37.2',
        canal: { version: 'v3.28.5', podCidr: '10.244.0.0/16', vni: 1, port: 8472 },
        ciliumOwnsCni: false,
        nodes: nodes.map((name) => ({ name, controlPlane: false, ready: true })),
        networks: [{ cidr: '10.244.0.0/16', owner: "Canal's pods" }],
        ...facts,
      };
    },
    applyHelmRelease: async ({ values }) => {
      await call('applyHelmRelease');
      calls.push(values['policyEnforcementMode'] === 'never' ? 'coexistence values' : 'final values');
    },
    checkCiliumConfig: () => call('checkCiliumConfig'),
    waitForAgents: () => call('waitForAgents'),
    applyNodeConfig: () => call('applyNodeConfig'),
    deployHelpers: () => call('deployHelpers'),
    observeNode: async ({ node }) => {
      await call('observeNode', node);
      return {
        flipped: flipped.has(node),
        cordonedByUs: cordoned.has(node),
        podsOnSource: flipped.has(node) ? [] : ['shop/web'],
      };
    },
    cordonNode: async ({ node }) => {
      await call('cordonNode', node);
      cordoned.add(node);
    },
    drainNode: ({ node }) => call('drainNode', node),
    flipNode: async ({ node }) => {
      await call('flipNode', node);
      flipped.add(node);
    },
    recyclePods: ({ node }) => call('recyclePods', node),
    verifyNode: async ({ node }) => {
      await call('verifyNode', node);
      return [];
    },
    uncordonNode: async ({ node }) => {
      await call('uncordonNode', node);
      cordoned.delete(node);
    },
    requireAllPodsOnTarget: () => call('requireAllPodsOnTarget'),
    restartAgents: () => call('restartAgents'),
    removeNodeConfig: () => call('removeNodeConfig'),
    removeHelpers: () => call('removeHelpers'),
    removeCanal: () => call('removeCanal'),
  };
  return { activities, calls, cordoned, flipped };
}

/** A failure as an activity throws it. */
export function permanent(type: string, message: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(message, type);
}
