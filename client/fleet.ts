import { WorkflowIdConflictPolicy, type Client } from '@temporalio/client';
import type { FleetRequest } from '../model/fleet-input.ts';
import type { fleetMigration } from '../workflows/index.ts';
import { defaultTaskQueue, fleetWorkflowId } from '../workflows/messages.ts';

/**
 * Starts the migration of a fleet.
 * @returns its workflow ID.
 * @throws WorkflowExecutionAlreadyStartedError while another run for the fleet is open.
 */
export async function startFleet(client: Client, request: FleetRequest, taskQueue = defaultTaskQueue): Promise<string> {
  const workflowId = fleetWorkflowId(request.fleet);
  await client.workflow.start<typeof fleetMigration>('fleetMigration', {
    taskQueue,
    workflowId,
    workflowIdConflictPolicy: WorkflowIdConflictPolicy.FAIL,
    staticSummary: `${request.fleet}: Canal to Cilium`,
    args: [request],
  });
  return workflowId;
}
