import type { Duration, RetryPolicy } from '@temporalio/common';
import type { WorkflowInterceptors } from '@temporalio/workflow';

/** Time without a heartbeat after which an activity's worker counts as dead: several heartbeats of the crashing worker. */
const heartbeatTimeout: Duration = '1500 ms';

/** Time limit of a workflow task. */
const workflowTaskTimeout: Duration = '2 seconds';

/**
 * Returns pauses between two attempts that are shorter than the product's. A limited number of attempts still covers
 * the restart of an API server: there, the pauses grow, as in the product.
 */
function shortenPauses(retry: RetryPolicy = {}): RetryPolicy {
  const bounded = retry.maximumAttempts !== undefined;
  return { ...retry, initialInterval: '200 ms', backoffCoefficient: bounded ? 2 : 1 };
}

/** Detects dead workers sooner than the product, so that many can die in a test. */
export const interceptors = (): WorkflowInterceptors => ({
  outbound: [
    {
      scheduleActivity: (input, next) =>
        next({ ...input, options: { ...input.options, heartbeatTimeout, retry: shortenPauses(input.options.retry) } }),
      startChildWorkflowExecution: (input, next) =>
        next({ ...input, options: { ...input.options, workflowTaskTimeout } }),
    },
  ],
});
