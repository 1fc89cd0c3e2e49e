import path from 'node:path';
import { CancelledFailure, WorkflowFailedError, type Client, type WorkflowHandle } from '@temporalio/client';
import type { temporal } from '@temporalio/proto';
import { createFleetActivities, type FleetActivities } from '../../activities/cluster/migration-outcomes.ts';
import { fleetReportIntervalMs, type FleetStatus } from '../../model/fleet-status.ts';
import { createOutcomeReader } from '../../worker/migration-outcome.ts';
import { fleetStatusQuery, migrationWorkflowId } from '../../workflows/messages.ts';
import {
  automaticPrefix,
  endSignal,
  inputQuery,
  nextRunSignal,
  reportSignal,
  type FakeEnd,
  type clusterMigration,
} from '../support/fake-migrations.ts';
import {
  buildFleetRequest,
  clusterNames,
  continueFleetAsNew,
  createState,
  fleetStates,
  startFleet,
  startShortRuns,
  waitForFleetStatus,
  type FleetRun,
} from '../support/fleet-run.ts';
import { waitForFailure, waitForQueryResult } from '../support/migration-run.ts';
import { skipTime } from '../support/time-skips.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** Runs of a fleet, with fake migrations of clusters. Time passes when a test skips it. */
const workflows = path.join(import.meta.dirname, '../support/fake-migrations.ts');
const server = new WorkflowServer({ skipsTime: true, workflows });
beforeAll(() => server.start());
afterAll(() => server.stop());

type HistoryEvent = temporal.api.history.v1.IHistoryEvent;

/** Number of events at which a run continues as new. */
const historyLimit = 100;

function fleetActivities(): FleetActivities {
  return createFleetActivities(createOutcomeReader(server.env.client));
}

function migrationOf(client: Client, cluster: string): WorkflowHandle<typeof clusterMigration> {
  return client.workflow.getHandle<typeof clusterMigration>(migrationWorkflowId(cluster));
}

function waitForStates(run: FleetRun, wanted: Record<string, string>): Promise<FleetStatus> {
  return waitForFleetStatus(run, (status) => {
    const states = fleetStates(status);
    return Object.entries(wanted).every(([name, state]) => states[name] === state);
  });
}

/** Waits until the migration of a cluster is open, and returns its handle. */
async function waitForMigration(client: Client, cluster: string): Promise<WorkflowHandle<typeof clusterMigration>> {
  const migration = migrationOf(client, cluster);
  await waitForQueryResult(
    () => migration.describe().catch(() => undefined),
    (latest) => latest?.status.name === 'RUNNING'
  );
  return migration;
}

async function endMigration(client: Client, cluster: string, end: FakeEnd = { phase: 'done' }): Promise<void> {
  await (await waitForMigration(client, cluster)).signal(endSignal, end);
}

/** Returns the histories of all runs of a fleet, from the latest to the first. */
async function fetchHistories(client: Client, { workflowId }: FleetRun): Promise<HistoryEvent[][]> {
  const histories: HistoryEvent[][] = [];
  for (let runId: string | undefined; runId !== '';) {
    const { events } = await client.workflow.getHandle(workflowId, runId).fetchHistory();
    histories.push(events ?? []);
    runId = events?.[0]?.workflowExecutionStartedEventAttributes?.continuedExecutionRunId ?? '';
  }
  return histories;
}

function countReports(events: readonly HistoryEvent[]): number {
  const names = events.map((event) => event.workflowExecutionSignaledEventAttributes?.signalName);
  return names.filter((name) => name === 'clusterProgress').length;
}

it('keeps the history of 100 clusters with 100 nodes each short, and loses none of them', async () => {
  const numbers = Array.from({ length: 100 }, (_, index) => index);
  const { [automaticPrefix]: prefix } = clusterNames(automaticPrefix);
  const request = buildFleetRequest(
    numbers.map((number) => `${prefix}-${number}`),
    { canaryClusters: 0, maxConcurrency: 20 }
  );
  await server.withWorker(fleetActivities(), async (client, taskQueue) => {
    const run = await startShortRuns(client, taskQueue, request, historyLimit);
    const { clusters } = await run.result();

    expect(clusters.map(({ state }) => state)).toEqual(numbers.map(() => 'migrated'));
    const histories = await fetchHistories(client, run);
    // The first report of each cluster and its last one. Each cluster has 200 changes.
    expect(countReports(histories.flat())).toBeLessThanOrEqual(2 * numbers.length);
    expect(histories.length).toBeGreaterThan(2);
    for (const events of histories) expect(events.length).toBeLessThan(10 * historyLimit);
  });
});

it('shows the newest progress of a cluster once a minute, and the last one at its end', async () => {
  const { a } = clusterNames('a');
  await server.withWorker(fleetActivities(), async (client, taskQueue) => {
    const run = await startFleet(client, taskQueue, buildFleetRequest([a]));
    const migration = await waitForMigration(client, a);
    const phaseIs = (phase: string) =>
      waitForFleetStatus(run, ({ clusters }) => clusters[0]?.progress?.phase === phase);
    const report = (phase: 'plan' | 'coexistence' | 'migrate' | 'cutover') =>
      migration.signal(reportSignal, { phase, migrated: 0, nodes: 1 });

    await report('plan');
    await phaseIs('plan');
    await report('coexistence');
    await report('migrate');
    expect(await skipTime(migration, fleetReportIntervalMs - 5_000)).toBe(0);
    expect((await run.query(fleetStatusQuery)).clusters[0]?.progress?.phase).toBe('plan');
    expect(await skipTime(migration, 5_000)).toBe(1);
    await phaseIs('migrate');
    await report('cutover');
    await endMigration(client, a);
    await run.result();

    const events = (await fetchHistories(client, run)).flat();
    expect(countReports(events)).toBe(3);
  });
});

it('reports what it holds back before the migration of the cluster continues as new', async () => {
  const { a } = clusterNames('a');
  await server.withWorker(fleetActivities(), async (client, taskQueue) => {
    const run = await startFleet(client, taskQueue, buildFleetRequest([a]));
    const migration = await waitForMigration(client, a);

    await migration.signal(reportSignal, { phase: 'plan', migrated: 0, nodes: 1 });
    await migration.signal(reportSignal, { phase: 'migrate', migrated: 0, nodes: 1 });
    await migration.signal(nextRunSignal);

    await waitForFleetStatus(run, ({ clusters }) => clusters[0]?.progress?.phase === 'migrate');
    await endMigration(client, a);
    expect(fleetStates(await run.result())).toEqual({ a: 'migrated' });
  });
});

it('keeps approvals, waits and running clusters when it continues as new', async () => {
  const { a, b, c } = clusterNames('a', 'b', 'c');
  await server.withWorker(fleetActivities(), async (client, taskQueue) => {
    const request = buildFleetRequest([a, b, c], { approval: 'every-cluster', soakSeconds: 86_400 });
    const run = await startShortRuns(client, taskQueue, request, historyLimit);
    const waiting = await waitForFleetStatus(run, ({ waitingFor }) => waitingFor === `approval of ${a}`);
    await run.signal('approve', { cluster: b, by: 'ann' });
    await continueFleetAsNew(run);
    const later = await waitForFleetStatus(run, ({ waitingFor }) => waitingFor === `approval of ${a}`);
    expect(later.waiting).toEqual(waiting.waiting);

    await run.signal('approve', { cluster: a });
    await waitForMigration(client, a);
    await continueFleetAsNew(run);
    await endMigration(client, a);
    const soaking = await waitForFleetStatus(run, ({ waiting }) => waiting?.kind === 'soak');
    await continueFleetAsNew(run);
    expect(await run.query(fleetStatusQuery)).toMatchObject({
      ...{ soakUntil: soaking.soakUntil, waitingFor: soaking.waitingFor, waiting: soaking.waiting },
    });
    // Accepted and refused messages do not end the soak.
    await run.executeUpdate('approve', { args: [{ cluster: c }] });
    expect(fleetStates(await run.query(fleetStatusQuery))).toEqual({ a: 'migrated', b: 'pending', c: 'pending' });
    await run.executeUpdate('pause', { args: [{ by: 'ann' }] });
    await continueFleetAsNew(run);
    expect(await run.query(fleetStatusQuery)).toMatchObject({ waitingFor: 'resume (paused by ann)' });
    await run.executeUpdate('resume', { args: [{}] });
    await waitForFleetStatus(run, ({ waiting }) => waiting?.kind === 'soak');

    await skipTime(run, 86_400_000);
    await endMigration(client, b);
    await endMigration(client, c);
    const status = await run.result();
    expect(fleetStates(status)).toEqual({ a: 'migrated', b: 'migrated', c: 'migrated' });
    expect(status.clusters[1]?.approval?.by).toBe('ann');
  });
});

describe('the end of a migration that an earlier run of the fleet has started', () => {
  it.each([
    ['that succeeds', { phase: 'done' } as const, { state: 'migrated' }],
    ['that is rolled back', { phase: 'rolled-back' } as const, { state: 'rolled-back' }],
    [
      'that fails',
      { phase: 'migrate', failure: 'DrainBlocked' } as const,
      { state: 'failed', failure: { type: 'DrainBlocked', message: 'it failed' } },
    ],
  ])('is found for one %s', async (_, end, expected) => {
    const { a } = clusterNames('a');
    await server.withWorker(fleetActivities(), async (client, taskQueue) => {
      const run = await startShortRuns(client, taskQueue, buildFleetRequest([a]), historyLimit);
      const migration = await waitForMigration(client, a);
      await continueFleetAsNew(run);
      // The migration continues as new as well. A run that is about to do so would not act on the end.
      const { runId } = await migration.describe();
      await migration.signal(nextRunSignal);
      await waitForQueryResult(
        () => migration.describe(),
        (latest) => latest.runId !== runId
      );

      await endMigration(client, a, end);

      const { clusters } = await waitForFleetStatus(run, (status) => status.clusters[0]?.endedAt !== undefined);
      expect(clusters[0]).toMatchObject(expected);
      await run.terminate().catch(() => undefined);
    });
  });

  it('is found when it was terminated, also when another one was started under its ID', async () => {
    const { a } = clusterNames('a');
    await server.withWorker(fleetActivities(), async (client, taskQueue) => {
      const run = await startShortRuns(client, taskQueue, buildFleetRequest([a]), historyLimit);
      const migration = await waitForMigration(client, a);
      await continueFleetAsNew(run);
      await migration.terminate();
      const input = { cluster: a };
      const workflowId = migrationWorkflowId(a);
      await client.workflow.start('clusterMigration', { taskQueue, workflowId, args: [input] });

      await skipTime(run, 600_000);

      const failed = await waitForStates(run, { a: 'failed' });
      expect(failed.clusters[0]?.failure?.type).toBe('MigrationTerminated');
      await run.signal('retry', { cluster: a });
      await waitForFleetStatus(run, ({ clusters }) => clusters[0]?.failure?.type === 'MigrationRunning');
      await endMigration(client, a);
      await migrationOf(client, a).result();
      await run.signal('retry', { cluster: a });
      await endMigration(client, a);
      expect(fleetStates(await run.result())).toEqual({ a: 'migrated' });
    });
  });

  it('is found when the migration is no longer known', async () => {
    const { a } = clusterNames('a');
    await server.withWorker(fleetActivities(), async (client, taskQueue) => {
      const request = buildFleetRequest([a]);
      const run = await startShortRuns(client, taskQueue, request, historyLimit, ({ status }) => {
        Object.assign(status.clusters[0] ?? {}, { state: 'migrating', runId: 'b4f5a2ba-33c9-4a43-a2c8-9a1a8a6a3a53' });
      });

      const failed = await waitForStates(run, { a: 'failed' });

      expect(failed.clusters[0]?.failure?.type).toBe('MigrationTerminated');
      expect(failed.clusters[0]?.failure?.message).toContain('Temporal does not know the run');
      await run.terminate();
    });
  });
});

it('notes an outcome that cannot be read, handles messages meanwhile, and asks again', async () => {
  const { a } = clusterNames('a');
  const reader = createOutcomeReader(server.env.client);
  let isBroken = true;
  const activities = createFleetActivities((run) =>
    isBroken ? Promise.reject(new Error('permission denied')) : reader(run)
  );
  await server.withWorker(activities, async (client, taskQueue) => {
    const run = await startShortRuns(client, taskQueue, buildFleetRequest([a]), historyLimit);
    await waitForMigration(client, a);
    await continueFleetAsNew(run);
    const note = `cannot read the outcome of ${a}: permission denied`;
    await waitForFleetStatus(run, ({ notes }) => notes.includes(note));
    expect(await run.executeUpdate('pause', { args: [{}] })).toContain('paused');
    await endMigration(client, a);
    isBroken = false;
    await skipTime(run, 600_000);
    const status = await run.result();
    expect(fleetStates(status)).toEqual({ a: 'migrated' });
    expect(status.notes.filter((text) => text === note)).toHaveLength(1);
  });
});

it.each([
  ['its own run', false],
  ['an earlier run', true],
])('cancels the clusters that %s has started, and waits for them, when it is cancelled', async (_, isEarlier) => {
  const { a, b } = clusterNames('a', 'b');
  await server.withWorker(fleetActivities(), async (client, taskQueue) => {
    const run = await startShortRuns(client, taskQueue, buildFleetRequest([a, b]), historyLimit);
    const migration = await waitForMigration(client, a);
    if (isEarlier) await continueFleetAsNew(run);
    await run.cancel();

    const error: unknown = await run.result().catch((thrown: unknown) => thrown);

    expect(error).toBeInstanceOf(WorkflowFailedError);
    expect((error as WorkflowFailedError).cause).toBeInstanceOf(CancelledFailure);
    expect((await migration.describe()).status.name).toBe('CANCELLED');
    const { clusters } = await run.query(fleetStatusQuery);
    expect(clusters[0]).toMatchObject({ state: 'failed', failure: { type: 'Aborted' } });
    expect(clusters[1]?.state).toBe('pending');
  });
});

it('cancels its clusters when an earlier run was cancelled, and then fails', async () => {
  const { a, b } = clusterNames('a', 'b');
  await server.withWorker(fleetActivities(), async (client, taskQueue) => {
    const request = buildFleetRequest([a, b]);
    const migration = migrationOf(client, a);
    const input = { cluster: a };
    const { firstExecutionRunId } = await client.workflow.start('clusterMigration', {
      ...{ taskQueue, workflowId: migration.workflowId },
      args: [input],
    });
    const run = await startShortRuns(client, taskQueue, request, historyLimit, ({ status, control }) => {
      Object.assign(status.clusters[0] ?? {}, { state: 'migrating', runId: firstExecutionRunId });
      control.cancelledAt = new Date().toISOString();
    });

    const failure = await waitForFailure(run);

    expect(failure).toMatchObject({ type: 'Aborted', message: expect.stringContaining('cancelled; 0 of 2') as string });
    expect((await migration.describe()).status.name).toBe('CANCELLED');
    const { clusters } = await run.query(fleetStatusQuery);
    expect(clusters[0]).toMatchObject({ state: 'failed', failure: { type: 'Aborted' } });
  });
});

it('lets running clusters finish when it is aborted, in any run', async () => {
  const { a, b } = clusterNames('a', 'b');
  await server.withWorker(fleetActivities(), async (client, taskQueue) => {
    const run = await startShortRuns(client, taskQueue, buildFleetRequest([a, b]), historyLimit);
    await waitForMigration(client, a);
    const answer = await run.executeUpdate<string, [object]>('abort', { args: [{ by: 'ann' }] });
    expect(answer).toContain(`the running migrations of ${a} continue`);
    await continueFleetAsNew(run);
    await endMigration(client, a);

    const failure = await waitForFailure(run);

    expect(failure).toMatchObject({ type: 'Aborted' });
    expect(failure.message).toBe('aborted by ann; 1 of 2 clusters are migrated. Start the fleet again to continue');
    expect(fleetStates(await run.query(fleetStatusQuery))).toEqual({ a: 'migrated', b: 'pending' });
  });
});

it('resolves its input once: later runs and clusters get every value as it was then', async () => {
  const { a } = clusterNames('a');
  await server.withWorker(fleetActivities(), async (client, taskQueue) => {
    // As a build with other defaults has resolved it.
    const run = await startShortRuns(client, taskQueue, buildFleetRequest([a]), historyLimit, ({ inputs }) => {
      inputs.shared['chartVersion'] = '1.0.0';
      delete inputs.shared['nodeMaskSize'];
    });
    await continueFleetAsNew(run);
    const migration = await waitForMigration(client, a);

    const input = await migration.query(inputQuery);

    expect(input.chartVersion).toBe('1.0.0');
    expect(input).not.toHaveProperty('nodeMaskSize');
    await endMigration(client, a);
    await run.result();
    // A run with an input has no other work than to resolve it.
    const other = await startFleet(client, taskQueue, buildFleetRequest([`${a}-2`]));
    await waitForMigration(client, `${a}-2`);
    const [, first] = await fetchHistories(client, other);
    expect(first?.some((event) => event.startChildWorkflowExecutionInitiatedEventAttributes != null)).toBe(false);
    await endMigration(client, `${a}-2`);
    await other.result();
  });
});

it('refuses a state that an operator starts it with, although it is valid', async () => {
  const { a } = clusterNames('a');
  await server.withWorker(fleetActivities(), async (client, taskQueue) => {
    const run = await startFleet(client, taskQueue, createState(buildFleetRequest([a])));

    expect(await waitForFailure(run)).toMatchObject({
      type: 'InvalidInput',
      message: expect.stringContaining('the state of a previous run') as string,
    });
  });
});

it('refuses a second input that is not a state', async () => {
  const { a } = clusterNames('a');
  await server.withWorker(fleetActivities(), async (client, taskQueue) => {
    const run = await client.workflow.start('fleetMigration', {
      ...{ taskQueue, workflowId: `cni-fleet/${a}` },
      args: [buildFleetRequest([a]), 7],
    });
    expect(await waitForFailure(run)).toMatchObject({ type: 'InvalidInput' });
  });
});
