import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { createActivities, type Activities, type ActivityDependencies } from '../../activities/index.ts';
import { kubeconfigClusters } from '../../activities/kubernetes/connection.ts';
import type { IsOpen } from '../../activities/cluster/lock.ts';
import type { Lab } from '../../lab/cluster/lab.ts';

// Failures are the subject of many of these tests.
const logger = new DefaultLogger('ERROR');

/**
 * Returns the real activities on a lab's cluster, each call in its own activity environment.
 * @param sleep replaces the sleeps of activities. @default they sleep
 */
export function createLabActivities(
  lab: Lab,
  kubeconfig = lab.layout.kubeconfig,
  isOpen: IsOpen = () => Promise.resolve(undefined),
  sleep?: (ms: number) => Promise<void>
): Activities {
  const helm = { binary: lab.catalogue.bin('helm') };
  return createTestActivities({ clusters: kubeconfigClusters(kubeconfig), helm, isOpen }, sleep);
}

/**
 * Returns the real activities, each call in its own activity environment.
 * @param sleep replaces the sleeps of activities. @default they sleep
 */
export function createTestActivities(
  dependencies: ActivityDependencies,
  sleep?: (ms: number) => Promise<void>
): Activities {
  const wrapped = Object.entries(createActivities(dependencies)).map(([name, activity]) => {
    const inEnvironment = (...args: unknown[]): Promise<unknown> => {
      const environment = new MockActivityEnvironment(undefined, { logger });
      if (sleep !== undefined) Object.assign(environment.context, { sleep });
      return environment.run(activity as (...args: unknown[]) => Promise<unknown>, ...args);
    };
    return [name, inEnvironment];
  });
  return Object.fromEntries(wrapped) as Activities;
}
