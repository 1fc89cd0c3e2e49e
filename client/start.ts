import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowIdConflictPolicy, type Client } from '@temporalio/client';
import type { Versioned } from '../model/api-version.ts';
import type { FleetRequest } from '../model/fleet-input.ts';
import type { MigrationRequest } from '../model/input.ts';
import type { Messages } from '../model/message-schemas.ts';
import type { ClusterPolicyReport } from '../model/policies.ts';
import type { PreflightReport } from '../model/preflight.ts';
import type { clusterMigration, fleetMigration } from '../workflows/index.ts';
import { defaultTaskQueue, policyReportWorkflowId, preflightWorkflowId } from '../workflows/messages.ts';
import { rollbackSignal } from '../workflows/operator-messages.ts';
import { searchAttributes } from '../workflows/search-attributes.ts';
import { NoAnswerError } from './errors.ts';
import { Fleet } from './fleet.ts';
import { Migration, type MigrationOptions } from './migration.ts';
import { defaultTimeoutMs, whileServerAnswers, withTimeLimit } from './time-limit.ts';
import { waitForWorker } from './workers.ts';
import { WorkflowRequests } from './workflow-requests.ts';

/** Options of a start. */
export interface StartOptions extends MigrationOptions {
  /**
   * Task queue of the workers.
   * @default cni-migration
   */
  taskQueue?: string | undefined;
}

/** A workflow to start. */
interface Start {
  type: string;
  workflowId: string;
  summary: string;
  request: MigrationRequest | FleetRequest;
  /** Cluster for the search attribute, which finds the run also before a worker has executed anything. */
  cluster?: string;
}

/**
 * Starts the migration of a cluster. Needs no worker: the migration starts when one runs.
 * @throws WorkflowExecutionAlreadyStartedError while another run for the cluster is open.
 * @throws NoAnswerError when the server does not answer; it may have started the migration then.
 */
export async function startMigration(
  client: Client,
  request: MigrationRequest,
  options: StartOptions = {}
): Promise<Migration> {
  const migration = new Migration(client, request.cluster, options);
  const start = migrationStart(migration, request);
  await startWithin(client, options, start, () =>
    client.workflow.start<typeof clusterMigration>(start.type, { ...buildOptions(start, options), args: [request] })
  );
  return migration;
}

/**
 * Rolls all nodes of a cluster back to Canal when no run is open: starts a migration whose first message is the
 * rollback, so that it does nothing else. An open run receives the message. Needs no worker.
 * @param message sender and reason, and whether it starts outside the maintenance windows.
 * @throws NoAnswerError when the server does not answer; it may have started the rollback then.
 */
export async function startRollback(
  client: Client,
  request: MigrationRequest,
  message: Omit<Messages['rollback'], 'node' | 'all'> = {},
  options: StartOptions = {}
): Promise<Migration> {
  const migration = new Migration(client, request.cluster, options);
  const start = migrationStart(migration, request);
  const { workflowIdConflictPolicy, ...startOptions } = buildOptions(start, options);
  await startWithin(client, options, start, () =>
    client.workflow.signalWithStart<typeof clusterMigration, [Messages['rollback']]>(start.type, {
      ...startOptions,
      args: [request],
      signal: rollbackSignal,
      signalArgs: [{ ...message, all: true }],
    })
  );
  return migration;
}

/**
 * Runs only the checks, without any change, and waits for their outcomes.
 * @throws NoWorkerError when no worker could run them; nothing was started then.
 * @throws NoAnswerError when no worker begins in time; they run as soon as one does.
 */
export function runPreflight(
  client: Client,
  request: MigrationRequest,
  options: StartOptions = {}
): Promise<Versioned<PreflightReport>> {
  const { cluster } = request;
  const { workflowId = preflightWorkflowId(cluster) } = options;
  const start = { type: 'clusterPreflight', workflowId, summary: `${cluster}: checks`, request, cluster };
  return runToEnd(client, start, options);
}

/**
 * Compares the policy verdicts of both networks, without any change, and waits for the result.
 * @throws NoWorkerError when no worker could compare them; nothing was started then.
 * @throws NoAnswerError when no worker begins in time; the comparison runs as soon as one does.
 */
export function runPolicyReport(
  client: Client,
  request: MigrationRequest,
  options: StartOptions = {}
): Promise<Versioned<ClusterPolicyReport>> {
  const { cluster } = request;
  const { workflowId = policyReportWorkflowId(cluster) } = options;
  const start = { type: 'clusterPolicyReport', workflowId, summary: `${cluster}: policies`, request, cluster };
  return runToEnd(client, start, options);
}

/**
 * Starts the migration of a fleet. Needs no worker: the fleet starts when one runs.
 * @throws WorkflowExecutionAlreadyStartedError while another run for the fleet is open.
 * @throws NoAnswerError when the server does not answer; it may have started the fleet then.
 */
export async function startFleet(client: Client, request: FleetRequest, options: StartOptions = {}): Promise<Fleet> {
  const fleet = new Fleet(client, request.fleet, options);
  const { workflowId } = fleet;
  const start = { type: 'fleetMigration', workflowId, summary: `${request.fleet}: Canal to Cilium`, request };
  await startWithin(client, options, start, () =>
    client.workflow.start<typeof fleetMigration>(start.type, { ...buildOptions(start, options), args: [request] })
  );
  return fleet;
}

function migrationStart({ workflowId, cluster }: Migration, request: MigrationRequest): Start {
  return { type: 'clusterMigration', workflowId, summary: `${cluster}: Canal to Cilium`, request, cluster };
}

async function runToEnd<Result>(client: Client, start: Start, options: StartOptions): Promise<Result> {
  const { timeoutMs = defaultTimeoutMs, taskQueue = defaultTaskQueue } = options;
  await waitForWorker(client, taskQueue, Date.now() + timeoutMs);
  const run = await startWithin(client, options, start, () =>
    client.workflow.start<(request: unknown) => Promise<Result>>(start.type, {
      ...buildOptions(start, options),
      args: [start.request],
    })
  );
  await waitForFirstTask(client, start, timeoutMs);
  return whileServerAnswers(client, timeoutMs, () => run.result());
}

/** Interval between two reads of a run that has started, in ms. */
const pollIntervalMs = 200;

/** Number of events of a run that no worker has executed: its start, and its first task. */
const eventsBeforeWorker = 2;

/**
 * Waits until a worker executes a run: the server also lists workers that have just stopped.
 * @throws NoAnswerError when none does.
 */
async function waitForFirstTask(client: Client, { workflowId }: Start, timeoutMs: number): Promise<void> {
  const requests = new WorkflowRequests(client, workflowId, timeoutMs);
  const endMs = Date.now() + timeoutMs;
  while ((await requests.describe()).historyLength <= eventsBeforeWorker) {
    if (Date.now() + pollIntervalMs > endMs) {
      const consequence = `${workflowId} runs as soon as a worker does, and changes nothing`;
      throw new NoAnswerError('the start', { timeoutMs, consequence, mayTakeEffect: true });
    }
    await sleep(pollIntervalMs);
  }
}

function buildOptions({ workflowId, summary, cluster }: Start, { taskQueue = defaultTaskQueue }: StartOptions) {
  return {
    taskQueue,
    workflowId,
    workflowIdConflictPolicy: WorkflowIdConflictPolicy.FAIL,
    staticSummary: summary,
    typedSearchAttributes: cluster === undefined ? [] : [{ key: searchAttributes.cluster, value: cluster }],
  };
}

function startWithin<Result>(
  client: Client,
  { timeoutMs = defaultTimeoutMs }: StartOptions,
  { workflowId }: Start,
  work: () => Promise<Result>
): Promise<Result> {
  const consequence = `the server may have started ${workflowId}; check its status before you repeat it`;
  return withTimeLimit(
    client,
    Date.now() + timeoutMs,
    work,
    (cause) => new NoAnswerError('the start', { timeoutMs, consequence, mayTakeEffect: true }, cause)
  );
}
