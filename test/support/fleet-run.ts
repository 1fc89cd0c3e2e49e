import { randomUUID } from 'node:crypto';
import type { Client, WorkflowHandle } from '@temporalio/client';
import type { fleetMigration } from '../../workflows/index.ts';
import { fleetStatusQuery, fleetWorkflowId, migrationWorkflowId } from '../../workflows/messages.ts';
import { parseFleet, type FleetRequest } from '../../model/fleet-input.ts';
import { createFleetState, type FleetState } from '../../model/fleet-state.ts';
import type { FleetStatus } from '../../model/fleet-status.ts';
import { waitForQueryResult } from './migration-run.ts';

/** A run of a fleet's migration in a test. */
export type FleetRun = WorkflowHandle<typeof fleetMigration>;

/** Returns names of clusters that no other test uses: they become workflow IDs. */
export function clusterNames<N extends string>(...names: N[]): Record<N, string> {
  const end = randomUUID().slice(0, 8);
  return Object.fromEntries(names.map((name) => [name, `${name}-${end}`])) as Record<N, string>;
}

/** Defaults with which a cluster's migration runs without approvals. */
export const unattendedDefaults = { approval: 'none', cleanup: 'automatic' } as const;

/** Starts a fleet's migration. */
export function startFleet(client: Client, taskQueue: string, request: unknown): Promise<FleetRun> {
  return client.workflow.start<typeof fleetMigration>('fleetMigration', {
    taskQueue,
    workflowId: fleetWorkflowId(randomUUID()),
    args: [request],
  });
}

/** Returns the request for a fleet of such clusters, which runs without approvals. */
export function buildFleetRequest(clusters: string[], more: Partial<FleetRequest> = {}): FleetRequest {
  return {
    fleet: 'eu',
    defaults: unattendedDefaults,
    approval: 'none',
    ...more,
    clusters: clusters.map((cluster) => ({ cluster })),
  };
}

/**
 * Starts a fleet that continues as new at this number of events. It is the second run of its workflow: the bundle has to
 * contain `continuedFleet` of fake-migrations.ts.
 * @param change changes the state with which it starts.
 */
export async function startShortRuns(
  client: Client,
  taskQueue: string,
  request: FleetRequest,
  historyLimit: number,
  change: (state: FleetState) => void = () => undefined
): Promise<FleetRun> {
  const state = createState(request);
  change(state);
  const run = await client.workflow.start<typeof fleetMigration>('continuedFleet', {
    taskQueue,
    workflowId: fleetWorkflowId(randomUUID()),
    args: [{ ...state, historyLimit }],
  });
  await waitForQueryResult(
    () => run.describe(),
    ({ type }) => type === 'fleetMigration'
  );
  return run;
}

/** Returns the state of a fleet that has not started. */
export function createState(request: FleetRequest): FleetState {
  const parsed = parseFleet(request);
  if ('problems' in parsed) throw new Error(parsed.problems.join('; '));
  const created = createFleetState(parsed.input, migrationWorkflowId);
  if ('problems' in created) throw new Error(created.problems.join('; '));
  return created.state;
}

/** Sends refused messages until the fleet has continued as new. */
export async function continueFleetAsNew(run: FleetRun): Promise<void> {
  const { runId } = await run.describe();
  await waitForQueryResult(
    async () => {
      await run.signal('approve', { cluster: 'nobody' });
      return run.describe();
    },
    (latest) => latest.runId !== runId
  );
}

/** Waits until the fleet's status satisfies a condition. */
export function waitForFleetStatus(run: FleetRun, condition: (status: FleetStatus) => boolean): Promise<FleetStatus> {
  return waitForQueryResult(() => run.query(fleetStatusQuery), condition);
}

/** Returns the states of the clusters, by the first part of their names. */
export function fleetStates({ clusters }: FleetStatus): Record<string, string> {
  return Object.fromEntries(clusters.map(({ cluster, state }) => [cluster.split('-')[0] ?? '', state]));
}
