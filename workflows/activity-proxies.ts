/**
 * The activities as workflows call them, by how long they may take and how long it is worth trying again. Failures that
 * trying again cannot help are permanent by themselves; what is left is mostly an API server that does not answer.
 */
import { proxyActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';

const retry = { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '15 seconds' } as const;

/**
 * Reads before anything is changed: given up after some 15 s of waiting, so that a mistyped address is told to the
 * operator.
 */
export const preflight = proxyActivities<Activities>({
  startToCloseTimeout: '1 minute',
  retry: { ...retry, maximumAttempts: 5 },
});

/** Reads and small writes in the middle of a migration, which outlasts an API server that is down. */
export const quick = proxyActivities<Activities>({ startToCloseTimeout: '1 minute', retry });

/** Helm: what it fails with may pass, or may not. */
export const helm = proxyActivities<Activities>({
  startToCloseTimeout: '15 minutes',
  heartbeatTimeout: '30 seconds',
  retry: { ...retry, maximumAttempts: 8 },
});

/** Waits for agents and for pods: bounded by their own deadlines, which name what they waited for. */
export const patient = proxyActivities<Activities>({
  startToCloseTimeout: '20 minutes',
  heartbeatTimeout: '30 seconds',
  retry,
});

/** Drains: the deadline is the operator's, up to a day. */
export const draining = proxyActivities<Activities>({
  startToCloseTimeout: '25 hours',
  heartbeatTimeout: '30 seconds',
  retry,
});
