import type { Duration, RetryPolicy } from '@temporalio/common';
import type { WorkflowInterceptors } from '@temporalio/workflow';

/** How long a worker may be silent about an activity here: several of the dying worker's heartbeats. */
const heartbeatTimeout: Duration = '3 seconds';

/** How long a worker may take for a workflow task here. */
const workflowTaskTimeout: Duration = '3 seconds';

/**
 * Pauses between two attempts, shorter than the product's. A bounded number of attempts still spans the restart of an API
 * server: there the pauses grow, as in the product.
 */
function impatient(retry: RetryPolicy = {}): RetryPolicy {
  const bounded = retry.maximumAttempts !== undefined;
  return { ...retry, initialInterval: '200 ms', backoffCoefficient: bounded ? 2 : 1 };
}

/** Notices dead workers sooner than the product, so that many can die in a test. */
export const interceptors = (): WorkflowInterceptors => ({
  outbound: [
    {
      scheduleActivity: (input, next) =>
        next({ ...input, options: { ...input.options, heartbeatTimeout, retry: impatient(input.options.retry) } }),
      startChildWorkflowExecution: (input, next) =>
        next({ ...input, options: { ...input.options, workflowTaskTimeout } }),
    },
  ],
});
