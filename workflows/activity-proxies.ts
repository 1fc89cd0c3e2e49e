/**
 * The activities as workflows call them, by how long they may take and how soon their worker's death must be noticed.
 */
import { proxyActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';

const retry = { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '15 seconds' } as const;

/**
 * Reads, and small writes. A cluster that cannot be reached at all gives up after a while, with its reason, so that a
 * mistyped address is told to the operator; everything that was changed by then can be taken up again.
 */
export const quick = proxyActivities<Activities>({
  startToCloseTimeout: '1 minute',
  heartbeatTimeout: '30 seconds',
  retry: { ...retry, maximumAttempts: 5 },
});

/** Waits for agents, for Helm, for pods: bounded by their own deadlines, which name what they waited for. */
export const patient = proxyActivities<Activities>({
  startToCloseTimeout: '20 minutes',
  heartbeatTimeout: '30 seconds',
  retry: { ...retry, maximumAttempts: 3 },
});

/** Drains: the deadline is the operator's, up to a day; a failure to reach the API server is tried again until then. */
export const draining = proxyActivities<Activities>({
  startToCloseTimeout: '25 hours',
  heartbeatTimeout: '30 seconds',
  retry,
});
