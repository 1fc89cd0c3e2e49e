import { setTimeout as sleep } from 'node:timers/promises';
import { NamespaceNotFoundError } from '@temporalio/common';
import type { Client } from '@temporalio/client';
import { NoWorkerError } from './errors.ts';
import { grpcCause, grpcStatus, unreachable, withTimeLimit } from './time-limit.ts';

/** Number in `temporal.api.enums.v1.TaskQueueType` of the queue of workflow tasks. */
const workflowQueue = 1;

/** Interval between two reads of a task queue, in ms. */
const pollIntervalMs = 200;

/** Share of the time limit of a request in which a worker may begin to poll. */
const startShare = 0.2;

/**
 * Returns whether workers poll a task queue. The server forgets a worker some minutes after its last poll, so true does
 * not mean that one runs now.
 * @param endMs time at which the answer must be there, in ms since the epoch.
 * @throws NamespaceNotFoundError when the namespace does not exist.
 * @throws TemporalUnreachable when the server does not answer in time.
 */
export async function hasWorker(client: Client, taskQueue: string, endMs: number): Promise<boolean> {
  const { namespace } = client.options;
  const request = { namespace, taskQueue: { name: taskQueue }, taskQueueType: workflowQueue };
  try {
    const { pollers } = await withTimeLimit(
      client,
      endMs,
      () => client.workflowService.describeTaskQueue(request),
      (cause) => unreachable(client, cause)
    );
    return pollers.length > 0;
  } catch (error) {
    // A task queue needs no registration: only the namespace can be missing.
    if (grpcCause(error)?.code === grpcStatus.notFound) throw new NamespaceNotFoundError(namespace);
    throw error;
  }
}

/**
 * Waits for a short time until a worker polls a task queue, such as one that starts just now.
 * @throws NoWorkerError when none does.
 */
export async function waitForWorker(client: Client, taskQueue: string, endMs: number): Promise<void> {
  const startMs = Date.now();
  const startedByMs = startMs + (endMs - startMs) * startShare;
  while (!(await hasWorker(client, taskQueue, endMs))) {
    if (Date.now() + pollIntervalMs > startedByMs) throw new NoWorkerError(taskQueue);
    await sleep(pollIntervalMs);
  }
}
