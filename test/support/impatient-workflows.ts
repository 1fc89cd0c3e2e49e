import type { WorkflowInterceptors } from '@temporalio/workflow';
import type { Duration } from '@temporalio/common';

/** How long a worker may be silent about an activity here: three of its heartbeats. */
const heartbeatTimeout: Duration = '6 seconds';

/** Has dead workers noticed sooner than the product's activities ask for, so that many can die in a test. */
export const interceptors = (): WorkflowInterceptors => ({
  outbound: [
    {
      scheduleActivity: (input, next) => next({ ...input, options: { ...input.options, heartbeatTimeout } }),
    },
  ],
});
