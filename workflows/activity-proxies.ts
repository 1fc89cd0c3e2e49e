/**
 * The activities as workflows call them, by how long they may take and how long it is worth trying again. Failures that
 * trying again cannot help are permanent by themselves; what is left is mostly an API server that does not answer.
 *
 * Every activity heartbeats by itself, so that a worker that died is noticed within seconds.
 */
import { ActivityCancellationType, proxyActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';

const retry = { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '15 seconds' } as const;
const heartbeatTimeout = '10 seconds';
/**
 * For what changes the world: one that is cancelled is waited for, so that whatever takes it back does not have it beside
 * itself. It hears of its cancellation by a heartbeat, which the SDK sends after 80 % of the heartbeat timeout at the latest.
 */
const cancellationType = ActivityCancellationType.WAIT_CANCELLATION_COMPLETED;

/**
 * Reads before anything is changed: given up after some 15 s of waiting, so that a mistyped address is told to the
 * operator.
 */
export const preflight = proxyActivities<Activities>({
  startToCloseTimeout: '1 minute',
  heartbeatTimeout,
  retry: { ...retry, maximumAttempts: 5 },
});

/** Reads and small writes in the middle of a migration, which outlasts an API server that is down. */
export const quick = proxyActivities<Activities>({
  startToCloseTimeout: '1 minute',
  heartbeatTimeout,
  cancellationType,
  retry,
});

/** Helm: what it fails with may pass, or may not. */
export const helm = proxyActivities<Activities>({
  startToCloseTimeout: '15 minutes',
  heartbeatTimeout,
  cancellationType,
  retry: { ...retry, maximumAttempts: 8 },
});

/** What is worth one try or two: without it, everything goes on. */
export const once = proxyActivities<Activities>({
  startToCloseTimeout: '3 minutes',
  heartbeatTimeout,
  retry: { ...retry, maximumAttempts: 2 },
});

/** Waits for agents, for pods and for a round of a drain: bounded by their own deadlines, which name what they waited for. */
export const patient = proxyActivities<Activities>({
  startToCloseTimeout: '20 minutes',
  heartbeatTimeout,
  cancellationType,
  retry,
});

/** Waits for what people do, such as a reboot or a new node: one activity, whatever the wait, so that days cost no history. */
export const watching = proxyActivities<Activities>({ startToCloseTimeout: '31 days', heartbeatTimeout, retry });
