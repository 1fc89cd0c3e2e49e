import { WorkflowFailedError, WorkflowNotFoundError, type Client } from '@temporalio/client';
import type { ReadOutcome } from '../activities/cluster/migration-outcomes.ts';
import { describeFailure, describeMissing, describeResult, type MigrationOutcome } from '../model/fleet-outcome.ts';

/** Statuses of a run that has ended. Every other one, also one that this build does not know, is open. */
const closed: readonly string[] = ['COMPLETED', 'FAILED', 'CANCELLED', 'TERMINATED', 'TIMED_OUT'];

/**
 * Returns a function that asks Temporal for the outcome of a migration. It follows the migration across
 * continue-as-new; another migration under the same workflow ID does not count.
 */
export function createOutcomeReader(client: Client): ReadOutcome {
  return async (run) => {
    try {
      const { status, raw, runId } = await client.workflow.getHandle(run.workflowId).describe();
      const isSame = raw.workflowExecutionInfo?.firstRunId === run.runId;
      if (isSame && !closed.includes(status.name)) return { state: 'open' };
      // When another migration is the latest of this ID, this one has ended, and its first run leads to its result.
      return await readResult(client, run.workflowId, isSame ? runId : run.runId);
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return describeMissing(run);
      throw error;
    }
  };
}

async function readResult(client: Client, workflowId: string, runId: string): Promise<MigrationOutcome> {
  try {
    return describeResult(await client.workflow.getHandle(workflowId, runId).result());
  } catch (error) {
    if (error instanceof WorkflowFailedError) return describeFailure(error, { workflowId });
    throw error;
  }
}
