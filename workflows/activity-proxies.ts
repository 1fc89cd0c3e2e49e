/**
 * Activity proxies of the workflows, grouped by timeout and retry policy. Activities mark failures that a retry cannot
 * fix as non-retryable; most of the others come from an API server that does not answer.
 *
 * Every activity heartbeats automatically, so that a dead worker is detected within seconds.
 */
import { ActivityCancellationType, proxyActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';

const retry = { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '15 seconds' } as const;
const heartbeatTimeout = '10 seconds';
/**
 * Cancellation type of activities with side effects: the workflow waits until a cancelled one has ended, so that a
 * rollback never runs in parallel with it. The activity receives its cancellation with a heartbeat, which the SDK sends
 * after 80 % of the heartbeat timeout at the latest.
 */
const cancellationType = ActivityCancellationType.WAIT_CANCELLATION_COMPLETED;

/**
 * Reads before anything is changed. Fail after about 15 s of waiting, so that a mistyped address is reported to the
 * operator.
 */
export const preflight = proxyActivities<Activities>({
  startToCloseTimeout: '1 minute',
  heartbeatTimeout,
  retry: { ...retry, maximumAttempts: 5 },
});

/** Reads and small writes during a migration. Retried until an unavailable API server is back. */
export const quick = proxyActivities<Activities>({
  startToCloseTimeout: '1 minute',
  heartbeatTimeout,
  cancellationType,
  retry,
});

/** Helm, whose failures may be temporary or permanent. */
export const helm = proxyActivities<Activities>({
  startToCloseTimeout: '15 minutes',
  heartbeatTimeout,
  cancellationType,
  retry: { ...retry, maximumAttempts: 8 },
});

/** Optional steps, worth one retry: the migration continues without them. */
export const once = proxyActivities<Activities>({
  startToCloseTimeout: '3 minutes',
  heartbeatTimeout,
  retry: { ...retry, maximumAttempts: 2 },
});

/**
 * Waits for agents, pods and one round of a drain: bounded by deadlines of their own, whose failures name what was
 * missing.
 */
export const patient = proxyActivities<Activities>({
  startToCloseTimeout: '20 minutes',
  heartbeatTimeout,
  cancellationType,
  retry,
});

/**
 * Waits for actions of people, such as a reboot or a new node. A single activity of any duration, so that days add no
 * history.
 */
export const watching = proxyActivities<Activities>({ startToCloseTimeout: '31 days', heartbeatTimeout, retry });
