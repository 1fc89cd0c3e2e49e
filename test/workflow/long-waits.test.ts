import { heartbeat } from '@temporalio/activity';
import type { WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { tsToMs } from '@temporalio/common/lib/time.js';
import type { temporal } from '@temporalio/proto';
import { fleetReportIntervalMs } from '../../model/fleet-status.ts';
import type { clusterMigration } from '../../workflows/index.ts';
import { fleetStatusQuery, migrationWorkflowId, planQuery, signal, statusQuery } from '../../workflows/messages.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import { fakeFleet } from '../support/fake-fleet.ts';
import {
  clusterNames,
  buildFleetRequest,
  fleetStates,
  startFleet,
  unattendedDefaults,
  waitForFleetStatus,
} from '../support/fleet-run.ts';
import {
  approveCutover,
  approvePlan,
  startRun,
  unattendedRequest,
  waitForFailure,
  waitForMigrationStatus,
  waitForPendingWait,
  waitForQueryResult,
} from '../support/migration-run.ts';
import { retrySpeedup, skipTime } from '../support/time-skips.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** Waits of minutes to days. Time passes when a test skips it: no wait ends because the machine is slow. */
const server = new WorkflowServer({ skipsTime: true });
beforeAll(() => server.start());
afterAll(() => server.stop());

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;
const perNode = { cluster: 'prod', cleanup: 'automatic' };

type HistoryEvent = temporal.api.history.v1.IHistoryEvent;

async function fetchEvents(run: Pick<WorkflowHandle, 'fetchHistory'>): Promise<HistoryEvent[]> {
  return (await run.fetchHistory()).events ?? [];
}

it('waits for the approval of the plan and of every node, for days if needed, and records who approved', async () => {
  const cluster = fakeCluster({ nodes: ['a', 'b'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, perNode);
    await waitForPendingWait(run, 'approval of the plan');
    expect(await skipTime(run, 3 * dayMs)).toBe(3);
    expect(await run.query(statusQuery)).toMatchObject({
      phase: 'plan',
      waitingFor: expect.stringContaining('plan') as string,
    });
    expect(await run.query(planQuery)).toMatchObject({
      waves: [
        { nodes: ['a'], reason: 'canary' },
        { nodes: ['b'], reason: 'workers, by name' },
      ],
      target: { podCidr: '10.245.0.0/16' },
    });
    expect(cluster.calls).not.toContain('applyHelmRelease');
    await approvePlan(run);
    await waitForPendingWait(run, 'approval of node a');
    expect(await skipTime(run, 3 * dayMs)).toBe(3);
    expect(await run.query(statusQuery)).toMatchObject({ phase: 'migrate', waitingFor: 'approval of node a' });
    expect(cluster.calls).not.toContain('cordonNode a');
    await run.signal(signal('approve'), { node: 'a', by: 'ann', reason: 'window' });
    const status = await waitForPendingWait(run, 'approval of node b');
    expect(status).toMatchObject({
      waitingFor: 'approval of node b',
      waiting: { answers: [{ does: 'approve node b', message: 'approve', input: { node: 'b' } }] },
    });
    expect(status.nodes).toMatchObject([
      { name: 'a', state: 'migrated', approval: { by: 'ann', reason: 'window' } },
      { name: 'b', state: 'awaiting-approval' },
    ]);
    expect(cluster.calls).not.toContain('cordonNode b');
    await run.signal(signal('approve'), { node: 'b' });
    await approveCutover(run);
    expect((await run.result()).nodes[1]).toMatchObject({ approval: { by: 'unnamed' } });
    expect(await run.query(statusQuery)).toMatchObject({ phase: 'done', approvals: { plan: { by: 'ann' } } });
  });
});

it('sends a reminder of its wait once a day, and adds little history', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, perNode);
    await waitForPendingWait(run, 'approval of the plan');
    const calls = cluster.calls.length;
    const before = await fetchEvents(run);
    for (let days = 1; days <= 10; days++) {
      expect(await skipTime(run, dayMs)).toBe(1);
      expect((await run.query(statusQuery)).waiting?.reminders).toBe(days);
    }
    const added = (await fetchEvents(run)).slice(before.length);
    // A timer that fires without a skip has its own event and workflow task: five events a day.
    const ownEvents = added.filter((event) => !isCausedBySkip(event));
    expect(ownEvents.map((event) => tsToMs(event.timerStartedEventAttributes?.startToFireTimeout))).toEqual(
      Array.from({ length: 10 }, () => dayMs)
    );
    expect(cluster.calls).toHaveLength(calls);
    await run.terminate();
  });
});

/**
 * True when a test that skips time created this event: an update with its workflow tasks, or a timer that it cancelled.
 */
function isCausedBySkip(event: HistoryEvent): boolean {
  return (
    event.workflowTaskScheduledEventAttributes != null ||
    event.workflowTaskStartedEventAttributes != null ||
    event.workflowTaskCompletedEventAttributes != null ||
    event.workflowExecutionUpdateAcceptedEventAttributes != null ||
    event.workflowExecutionUpdateCompletedEventAttributes != null ||
    event.timerCanceledEventAttributes != null
  );
}

it('pauses instead of failing when an approval is late, and continues when it is resumed', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { ...perNode, approvalDeadlineSeconds: 3_600 });
    await approvePlan(run);
    await waitForPendingWait(run, 'approval of node a');
    const almostMs = 55 * minuteMs;
    expect(await skipTime(run, almostMs)).toBe(0);
    expect(await run.query(statusQuery)).toMatchObject({ waitingFor: 'approval of node a' });
    expect(await skipTime(run, 5 * minuteMs)).toBe(1);
    const { paused } = await waitForPendingWait(run, 'resume');
    expect(paused).toMatchObject({ by: 'cni-live-migration' });
    expect(paused?.reason).toContain('no approval of node a within 3600 s');
    await run.signal(signal('resume'), { by: 'ann' });
    await waitForPendingWait(run, 'approval of node a');
    // The deadline has started again.
    expect(await skipTime(run, almostMs)).toBe(0);
    await run.signal(signal('approve'), { node: 'a' });
    await approveCutover(run);
    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
});

it('waits for the soak of each wave before the next', async () => {
  const cluster = fakeCluster({ nodes: ['a', 'b'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { ...unattendedRequest, waves: { soakSeconds: 3_600 } });
    await waitForPendingWait(run, 'the end of the soak of wave 1');
    await skipTime(run, 55 * minuteMs);
    expect(await run.query(statusQuery)).toMatchObject({
      waitingFor: expect.stringContaining('the end of the soak of wave 1') as string,
    });
    expect(cluster.calls).not.toContain('cordonNode b');
    await skipTime(run, 5 * minuteMs);
    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
});

it('starts a cluster when an operator approves it, and shows the phase of each', async () => {
  const { a, b } = clusterNames('a', 'b');
  const { activities } = fakeFleet({ [a]: { nodes: ['n1', 'n2'] }, [b]: { nodes: ['n1'] } });
  await server.withWorker(activities, async (client, taskQueue) => {
    const request = buildFleetRequest([a, b], {
      approval: 'every-cluster',
      defaults: { ...unattendedDefaults, cleanup: 'approve' },
    });
    const run = await startFleet(client, taskQueue, request);
    const waiting = await waitForFleetStatus(run, ({ waitingFor }) => waitingFor !== undefined);
    expect(waiting).toMatchObject({
      waitingFor: `approval of ${a}`,
      waiting: { answers: [{ does: `approve ${a}`, message: 'approve', input: { cluster: a } }] },
    });
    await run.signal('approve', { cluster: a, by: 'ann' });
    const child = client.workflow.getHandle<typeof clusterMigration>(migrationWorkflowId(a));
    await waitForFleetStatus(run, ({ clusters }) => clusters[0]?.progress !== undefined);
    await waitForQueryResult(
      () => child.query(statusQuery),
      ({ waitingFor }) => waitingFor?.startsWith('approval of the cleanup') === true
    );
    await skipTime(child, fleetReportIntervalMs);
    const shown = await waitForFleetStatus(run, ({ clusters }) => clusters[0]?.progress?.waitingFor !== undefined);
    expect(shown.clusters[0]).toMatchObject({
      state: 'migrating',
      progress: { phase: 'cleanup', migrated: 2, nodes: 2 },
    });
    expect(shown.clusters[0]?.progress?.waitingFor).toMatch(/^approval/);
    await child.signal('approve', { cleanup: true, by: 'ann' });
    await waitForFleetStatus(run, ({ waitingFor }) => waitingFor === `approval of ${b}`);
    await run.signal('skip', { cluster: b, by: 'bob', reason: 'later' });
    const status = await run.result();
    expect(fleetStates(status)).toEqual({ a: 'migrated', b: 'skipped' });
    expect(status.clusters[1]?.decision).toMatchObject({ by: 'bob', reason: 'later' });
  });
});

it('starts no other cluster while the fleet is paused or the canaries soak', async () => {
  const { a, b } = clusterNames('a', 'b');
  const { activities, clusters } = fakeFleet({ [a]: { nodes: ['n1'] }, [b]: { nodes: ['n1'] } });
  await server.withWorker(activities, async (client, taskQueue) => {
    const run = await startFleet(client, taskQueue, buildFleetRequest([a, b], { soakSeconds: 3_600 }));
    const isSoaking = expect.stringContaining('the end of the soak of the canaries') as string;
    await waitForFleetStatus(
      run,
      ({ waitingFor }) => waitingFor?.startsWith('the end of the soak of the canaries') === true
    );
    await skipTime(run, 55 * minuteMs);
    const soaking = await run.query(fleetStatusQuery);
    expect(soaking).toMatchObject({ waitingFor: isSoaking });
    expect(fleetStates(soaking)).toEqual({ a: 'migrated', b: 'pending' });
    expect(await run.executeUpdate('pause', { args: [{ by: 'ann' }] })).toContain('no other cluster is started');
    await skipTime(run, 60 * minuteMs);
    const paused = await run.query(fleetStatusQuery);
    expect(paused).toMatchObject({ waitingFor: 'resume (paused by ann)' });
    expect(fleetStates(paused)).toEqual({ a: 'migrated', b: 'pending' });
    expect(clusters[b]?.calls).toEqual([]);
    await run.signal('resume', {});
    expect(fleetStates(await run.result())).toEqual({ a: 'migrated', b: 'migrated' });
  });
});

it('starts the other clusters after the soak of the canaries', async () => {
  const { a, b } = clusterNames('a', 'b');
  const { activities, clusters } = fakeFleet({ [a]: { nodes: ['n1'] }, [b]: { nodes: ['n1'] } });
  await server.withWorker(activities, async (client, taskQueue) => {
    const run = await startFleet(client, taskQueue, buildFleetRequest([a, b], { soakSeconds: 3_600 }));
    await waitForFleetStatus(
      run,
      ({ waitingFor }) => waitingFor?.startsWith('the end of the soak of the canaries') === true
    );
    expect(clusters[b]?.calls).toEqual([]);
    expect(await skipTime(run, 60 * minuteMs)).toBe(1);
    expect(fleetStates(await run.result())).toEqual({ a: 'migrated', b: 'migrated' });
  });
});

it('waits for a node that an earlier run is still restoring', async () => {
  let release: () => void = () => undefined;
  const blocked = new Promise<void>((resolve) => (release = resolve));
  let hold = true;
  let isHeld = false;
  const cluster = fakeCluster({
    nodes: ['a'],
    before: async (activity) => {
      if (activity !== 'uncordonNode' || !hold) return;
      isHeld = true;
      const beat = setInterval(() => heartbeat(), 100);
      await blocked.finally(() => clearInterval(beat));
    },
  });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const first = await startRun(client, taskQueue, { ...unattendedRequest, onFailure: 'stop' });
    await waitForMigrationStatus(first, () => cluster.calls.includes('verify cilium a'));
    await first.terminate();
    await waitForQueryResult(
      () => Promise.resolve(isHeld),
      (held) => held
    );
    hold = false;
    const { workflowId } = first;
    const ofNode = client.workflow.getHandle(`${workflowId}/node/a`);
    const earlier = client.workflow.getHandle(ofNode.workflowId, (await ofNode.describe()).runId);
    const second = await client.workflow.start('clusterMigration', {
      taskQueue,
      workflowId,
      args: [unattendedRequest],
    });
    await waitForQueryResult(() => fetchEvents(second), hasTimerAfterRefusal);
    release();
    await earlier.result().catch(() => undefined);
    expect(await skipTime(second, 10_000)).toBe(1);
    expect(await second.result()).toMatchObject({ phase: 'done' });
  });
  expect(cluster.cordoned()).toEqual([]);
});

/** True when the last child was refused, because one with that name runs, and a timer was started since then. */
function hasTimerAfterRefusal(events: readonly HistoryEvent[]): boolean {
  const refused = events.findIndex((event) => event.startChildWorkflowExecutionFailedEventAttributes != null);
  return refused !== -1 && events.slice(refused).some((event) => event.timerStartedEventAttributes != null);
}

describe('an unreachable API server', () => {
  it('is tolerated by every activity during a migration', async () => {
    // More attempts than any activity with a limit makes.
    const failures = 10;
    let down = 0;
    const cluster = fakeCluster({
      nodes: ['a'],
      before: (activity) => {
        if (activity !== 'flipNode' || down >= failures) return;
        down++;
        throw ApplicationFailure.retryable('connect ECONNREFUSED', 'ClusterUnreachable');
      },
    });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, unattendedRequest);
      expect(await run.result()).toMatchObject({ phase: 'done' });
      const ofNode = client.workflow.getHandle(`${run.workflowId}/node/a`);
      const policies = [...retriesIn(await fetchEvents(run)), ...retriesIn(await fetchEvents(ofNode))];
      // The start ends; the others are repeated in series. The first ones are short, so that a failure is shown soon.
      const first = new Map(policies.reverse().map(({ activity, maximumAttempts }) => [activity, maximumAttempts]));
      expect(first.get('inspectCluster')).toBe(5);
      expect(first.get('observeNode')).toBe(2);
      expect(first.get('applyHelmRelease')).toBe(1);
      const series = policies.filter(({ activity }) => activity === 'flipNode').reverse();
      expect(series.map(({ maximumAttempts, firstMs }) => [maximumAttempts, firstMs])).toEqual([
        [1, 1_000],
        [1, 1_000],
        [8, 2_000],
        [8, 15_000],
      ]);
      for (const policy of policies) expect(policy).toMatchObject({ longestMs: 15_000 });
    });
    expect(down).toBe(failures);
  });

  it('is given up by the first step after some attempts, with the reason', async () => {
    const [failing, type, expected] = ['inspectCluster', 'ClusterUnreachable', 5] as const;
    let attempts = 0;
    const cluster = fakeCluster({
      before: (activity) => {
        if (activity !== failing) return;
        attempts++;
        throw ApplicationFailure.retryable('the reason', type);
      },
    });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, unattendedRequest);
      expect(await waitForFailure(run)).toMatchObject({ type, message: 'the reason' });
    });
    expect(attempts).toBe(expected);
    expect(cluster.system.lock).toBe('');
  });

  it('is a question when Helm keeps failing, and a retry tries again', async () => {
    let attempts = 0;
    const cluster = fakeCluster({
      nodes: ['a'],
      before: (activity) => {
        if (activity !== 'applyHelmRelease' || ++attempts > 8) return;
        throw ApplicationFailure.retryable('the reason', 'HelmFailed');
      },
    });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, unattendedRequest);
      const { waitingFor } = await waitForPendingWait(run, 'a decision about the step "install Cilium next to Canal"');
      expect(waitingFor).toContain('attempt 8 failed (HelmFailed: the reason)');
      expect(attempts).toBe(8);
      await run.signal(signal('retry'), { all: true });
      expect(await run.result()).toMatchObject({ phase: 'done' });
    });
    expect(cluster.broken).toEqual([]);
  });

  it('is shown with the failure while a step is repeated, and the migration can be aborted', async () => {
    let isDown = true;
    const cluster = fakeCluster({
      nodes: ['a'],
      before: (activity) => {
        if (isDown && activity === 'applyTranslatedPolicies')
          throw ApplicationFailure.retryable('connect ECONNREFUSED', 'ClusterUnreachable');
      },
    });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, unattendedRequest);
      const { waitingFor, waiting } = await waitForPendingWait(run, 'the step "apply translated policies"');
      expect(waitingFor).toContain('ClusterUnreachable: connect ECONNREFUSED');
      expect(waiting?.answers.map(({ message }) => message)).toEqual(['abort', 'rollback']);
      await run.signal(signal('abort'), { by: 'ann' });
      expect(await waitForFailure(run)).toMatchObject({ type: 'Aborted' });
    });
    isDown = false;
    expect(cluster.system.lock).toBe('');
  });
});

/** Returns how activities are retried, with the pauses that the product requests. */
function retriesIn(events: readonly HistoryEvent[]) {
  return events.flatMap(({ activityTaskScheduledEventAttributes: task }) =>
    task?.retryPolicy == null
      ? []
      : [
          {
            activity: task.activityType?.name,
            maximumAttempts: task.retryPolicy.maximumAttempts ?? 0,
            firstMs: tsToMs(task.retryPolicy.initialInterval) * retrySpeedup,
            longestMs: tsToMs(task.retryPolicy.maximumInterval) * retrySpeedup,
          },
        ]
  );
}
