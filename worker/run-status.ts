import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import type { IsOpen } from '../activities/cluster/lock.ts';

/**
 * Returns a function that asks Temporal whether a run is open; undefined for an unknown run. After continue-as-new, the
 * newest run of the ID counts.
 */
export function createRunStatusCheck(client: Client): IsOpen {
  return async (workflowId, runId) => {
    try {
      const handle = client.workflow.getHandle(workflowId, undefined, { firstExecutionRunId: runId });
      const { status, raw } = await handle.describe();
      if (raw.workflowExecutionInfo?.firstRunId !== runId) return false;
      // A run that is paused with Temporal's own command still holds its lock.
      return status.name === 'RUNNING' || status.name === 'PAUSED';
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return undefined;
      throw error;
    }
  };
}
