import { randomUUID } from 'node:crypto';
import { WorkflowFailedError, type Client, type WorkflowHandleWithFirstExecutionRunId } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { grpcCause, grpcStatus } from '../../client/time-limit.ts';
import type { clusterMigration } from '../../workflows/index.ts';
import type { MigrationStatus, NodeState } from '../../model/status.ts';
import { signal, statusQuery } from '../../workflows/messages.ts';
import { timeLimits } from './time-limits.ts';

/** A run of a cluster's migration in a test. */
export type Run = WorkflowHandleWithFirstExecutionRunId<typeof clusterMigration>;

/** Input of a migration that runs without approvals. */
export const unattendedRequest = { cluster: 'prod', approval: 'none', cleanup: 'automatic' };

/**
 * Starts a migration.
 * @param memo `historyLimit`: number of events after which a run continues as new; `stateLimit`: maximum size of the state
 *   that it then hands over, in bytes.
 */
export function startRun(
  client: Client,
  taskQueue: string,
  input: unknown,
  memo: { historyLimit?: number; stateLimit?: number } = {}
): Promise<Run> {
  return client.workflow.start<typeof clusterMigration>('clusterMigration', {
    taskQueue,
    workflowId: randomUUID(),
    args: [input],
    memo,
  });
}

/** Returns the failure with which a run ends, as an operator sees it. */
export async function waitForFailure(run: { result: () => Promise<unknown> }): Promise<ApplicationFailure> {
  const error: unknown = await run.result().catch((thrown: unknown) => thrown);
  if (!(error instanceof WorkflowFailedError) || !(error.cause instanceof ApplicationFailure)) {
    throw new Error('the run did not end with an ApplicationFailure', { cause: error });
  }
  return error.cause;
}

/** Waits, in real time, until the status satisfies a condition. */
export function waitForMigrationStatus(
  run: Run,
  condition: (status: MigrationStatus) => boolean
): Promise<MigrationStatus> {
  return waitForQueryResult(() => run.query(statusQuery), condition);
}

/** Pause between two queries, in ms: each costs the worker and the server some ms, which the awaited step needs. */
const queryPauseMs = 60;

/** Waits in the same way for the answer of any query. */
export async function waitForQueryResult<Status>(
  query: () => Promise<Status>,
  condition: (status: Status) => boolean
): Promise<Status> {
  const deadline = Date.now() + timeLimits.workflowState;
  let last: unknown;
  for (;;) {
    const status = await query().catch((error: unknown) => {
      if (!isWithoutWorker(error)) throw error;
      last = error;
      return undefined;
    });
    if (status !== undefined) {
      if (condition(status)) return status;
      last = status;
    }
    if (Date.now() > deadline) {
      const text = last instanceof Error ? last.message : JSON.stringify(last).slice(0, 2_000);
      throw new Error(`waited ${timeLimits.workflowState / 1000} s for another status than ${text}`);
    }
    await new Promise((resolve) => setTimeout(resolve, queryPauseMs));
  }
}

/** True for the answer of a server that has not yet seen a worker, or to which a change of versions has not come. */
const isWithoutWorker = (error: unknown): boolean => grpcCause(error)?.code === grpcStatus.failedPrecondition;

/** Waits until the migration waits for something whose description starts with this text. */
export function waitForPendingWait(run: Run, what: string): Promise<MigrationStatus> {
  return waitForMigrationStatus(run, ({ waitingFor }) => waitingFor?.startsWith(what) === true);
}

/** Waits until the plan awaits approval, and approves it. */
export async function approvePlan(run: Run): Promise<void> {
  await waitForPendingWait(run, 'approval of the plan');
  await run.signal(signal('approve'), { plan: true, by: 'ann' });
}

/** Returns the states of the nodes, sorted by node name. */
export function states(status: MigrationStatus): NodeState[] {
  return [...status.nodes].sort((a, b) => (a.name < b.name ? -1 : 1)).map((node) => node.state);
}

/** Waits until the cutover awaits its approval, and approves it. */
export async function approveCutover(run: Run): Promise<void> {
  await waitForPendingWait(run, 'approval of the cutover');
  await run.signal(signal('approve'), { cutover: true, by: 'ann' });
}
