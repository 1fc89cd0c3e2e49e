import { randomUUID } from 'node:crypto';
import { WorkflowFailedError } from '@temporalio/client';
import { cancelled, heartbeat } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type { Phase } from '../../model/status.ts';
import { statusQuery } from '../../workflows/messages.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import { BrokenApiServer, hold, lengthenHistory, send, waitFor } from '../support/interventions.ts';
import {
  approvePlan,
  startRun,
  unattendedRequest,
  waitForFailure,
  waitForMigrationStatus,
  waitForPendingWait,
  type Run,
} from '../support/migration-run.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** Messages while every activity fails. The pauses between attempts are shortened, as in all tests that skip time. */
const server = new WorkflowServer({ skipsTime: true });
beforeAll(() => server.start());
afterAll(() => server.stop());

type Cluster = ReturnType<typeof fakeCluster>;

/** A step of the whole cluster that is repeated until it succeeds. */
interface Step {
  phase: Phase;
  activity: string;
  summary: string;
  /** Which call of the activity it is. @default the first */
  call?: number;
}

const steps: readonly Step[] = [
  { phase: 'preflight', activity: 'runPreflight', summary: 'run checks' },
  { phase: 'plan', activity: 'planDetails', summary: 'compute plan' },
  { phase: 'coexistence', activity: 'deployProbers', summary: 'deploy probers' },
  { phase: 'migrate', activity: 'observeNodes', summary: 'observe nodes', call: 2 },
  { phase: 'cutover', activity: 'restartOutdatedAgent', summary: 'a: restart agent with final configuration' },
  { phase: 'cleanup', activity: 'exportCalico', summary: "export Calico's objects" },
];

/** Runs a migration until the API server does not answer at a step any more, and the status shows it. */
async function breakAt(
  { phase, activity, summary, call = 1 }: Step,
  test: (run: Run, api: BrokenApiServer, cluster: Cluster) => Promise<void>
): Promise<Cluster> {
  const api = new BrokenApiServer(activity, { call });
  const cluster = fakeCluster({ nodes: ['a', 'b'], before: api.before });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    const status = await waitForPendingWait(run, `the step "${summary}"`);
    expect(status).toMatchObject({ phase, waiting: { kind: 'step' } });
    expect(status.waitingFor).toContain('ClusterUnreachable: connect ECONNREFUSED');
    await test(run, api, cluster);
  });
  expect(cluster.broken).toEqual([]);
  expect(cluster.cordoned()).toEqual([]);
  return cluster;
}

describe.each(steps)('in the phase $phase, while $activity fails', (step) => {
  it('an abort ends the migration, and says that the lock is left to the next run', async () => {
    await breakAt(step, async (run, api) => {
      expect(await send(run, 'abort')).toContain('abort requested');

      expect(await waitForFailure(run)).toMatchObject({ type: 'Aborted' });
      expect(api.isDown).toBe(true);
      expect((await run.query(statusQuery)).notes.at(-1)).toMatch(
        /^the lock of the cluster was not released \(connect ECONNREFUSED\)/
      );
    });
  });

  it('a cancellation ends the run', async () => {
    await breakAt(step, async (run, api) => {
      await run.cancel();

      await expect(run.result()).rejects.toThrow(WorkflowFailedError);
      expect(api.isDown).toBe(true);
    });
  });

  it('a rollback of all nodes starts, and is executed once the API server answers', async () => {
    const cluster = await breakAt(step, async (run, api) => {
      expect(await send(run, 'rollback', { all: true })).toBe('rollback of all nodes requested');

      const status = await waitForMigrationStatus(
        run,
        ({ phase, waitingFor }) => phase === 'rolling-back' && waitingFor?.startsWith('the step "') === true
      );
      expect(status.waitingFor).toContain('the step "observe nodes"');
      api.repair();
      expect(await run.result()).toMatchObject({ phase: 'rolled-back' });
    });
    expect(cluster.system).toMatchObject({ canal: true, installed: false, ciliumOwnsCni: false, lock: '' });
  });

  it('a pause is shown, and starts once the step has succeeded', async () => {
    const cluster = await breakAt(step, async (run, api) => {
      expect(await send(run, 'pause', { by: 'ann' })).toContain('paused');
      expect((await run.query(statusQuery)).paused).toMatchObject({ by: 'ann' });

      api.repair();

      await waitForPendingWait(run, 'resume (paused by ann)');
      await send(run, 'resume');
      expect(await run.result()).toMatchObject({ phase: 'done' });
    });
    expect(cluster.system.lock).toBe('');
  });
});

it('shows that a node is not restored yet, and ends an aborted migration only when it is', async () => {
  const api = new BrokenApiServer('drain to cilium');
  const cluster = fakeCluster({ nodes: ['a', 'b'], before: api.before });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    await waitForMigrationStatus(run, ({ nodes }) => nodes[0]?.waitingFor?.includes('"a: drain') === true);
    expect(await send(run, 'abort')).toContain('abort requested');

    const { nodes } = await waitForMigrationStatus(
      run,
      (status) => status.nodes[0]?.waitingFor?.startsWith('the step "a: uncordon", which is repeated') === true
    );
    const { status } = await run.describe();
    api.repair();

    expect({ status: status.name, needsRepair: nodes[0]?.needsRepair }).toEqual({
      status: 'RUNNING',
      needsRepair: true,
    });
    expect(await waitForFailure(run)).toMatchObject({ type: 'Aborted' });
  });
  expect(cluster.cordoned()).toEqual([]);
  expect(cluster.system.lock).toBe('');
  expect(cluster.broken).toEqual([]);
});

it('refuses after the point of no return, and continues the removal once the API server answers', async () => {
  const api = new BrokenApiServer('removeCanal');
  const cluster = fakeCluster({ nodes: ['a'], before: api.before });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    const { waiting } = await waitForPendingWait(run, 'the step "remove Canal"');
    expect(waiting?.answers).toEqual([]);

    for (const [name, message] of [['rollback', { all: true }] as const, ['abort', {}] as const])
      expect(await send(run, name, message)).toContain('the point of no return');
    api.repair();

    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
  expect(cluster.broken).toEqual([]);
});

it('ends a migration that is aborted while it waits for the lock', async () => {
  const api = new BrokenApiServer('acquireLock');
  const cluster = fakeCluster({ nodes: ['a'], before: api.before });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    await waitForPendingWait(run, 'the step "lock cluster"');

    expect(await send(run, 'abort', { by: 'ann' })).toContain('abort requested');

    expect(await waitForFailure(run)).toMatchObject({ type: 'Aborted' });
  });
  expect(cluster.calls).not.toContain('runPreflight');
});

it('is aborted also when the step fails after its cancellation', async () => {
  const step = hold('acquireLock');
  const cluster = fakeCluster({
    nodes: ['a'],
    before: async (...call) => {
      await Promise.resolve(step.before(...call)).catch(() => undefined);
      if (call[0] === 'acquireLock') throw ApplicationFailure.retryable('connect ECONNREFUSED', 'ClusterUnreachable');
    },
  });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    await step.waitUntilReached();

    expect(await send(run, 'abort')).toContain('abort requested');

    expect(await waitForFailure(run)).toMatchObject({ type: 'Aborted' });
  });
});

it('is rolled back when a rollback of all nodes follows an abort whose step has not ended', async () => {
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  let attempts = 0;
  const cluster = fakeCluster({
    nodes: ['a'],
    before: async (activity) => {
      if (activity !== 'acquireLock' || attempts++ > 0) return;
      const beat = setInterval(() => heartbeat(), 50);
      await released;
      await cancelled().finally(() => clearInterval(beat));
    },
  });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    await waitFor(() => attempts > 0);
    expect(await send(run, 'abort')).toContain('abort requested');

    expect(await send(run, 'rollback', { all: true })).toBe('rollback of all nodes requested');

    release();
    expect(await run.result()).toMatchObject({ phase: 'rolled-back' });
  });
  expect(cluster.system.lock).toBe('');
});

describe('a run that has continued as new, while it cannot read the cluster', () => {
  const historyLimit = 200;

  async function breakAfterContinuing(test: (run: Run) => Promise<void>): Promise<Cluster> {
    const api = new BrokenApiServer('inspectCluster', { call: 2, onlyThis: true });
    const cluster = fakeCluster({ nodes: ['a'], before: api.before });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const input = { cluster: 'prod', approval: 'every-wave' };
      const run = await startRun(client, taskQueue, input, { historyLimit });
      await approvePlan(run);
      await waitForPendingWait(run, 'approval of wave 1');
      await lengthenHistory(run, historyLimit);
      const current = client.workflow.getHandle(run.workflowId) as Run;
      await waitForPendingWait(current, 'the step "inspect cluster"');
      await test(current);
    });
    expect(cluster.system.lock).toBe('');
    return cluster;
  }

  it('ends when it is aborted, and releases the lock', async () => {
    await breakAfterContinuing(async (run) => {
      await send(run, 'abort');

      expect(await waitForFailure(run)).toMatchObject({ type: 'Aborted' });
    });
  });

  it('ends when it is cancelled, and releases the lock', async () => {
    await breakAfterContinuing(async (run) => {
      await run.cancel();

      await expect(run.result()).rejects.toThrow(WorkflowFailedError);
    });
  });
});

it('refuses messages that come after the decision to end the run', async () => {
  let sent: Promise<string> | undefined;
  let run: Run | undefined;
  const cluster = fakeCluster({
    nodes: ['a'],
    before: async (activity) => {
      if (activity === 'releaseLock' && run !== undefined) await (sent = send(run, 'rollback', { all: true }));
    },
  });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const aborted = await startRun(client, taskQueue, { ...unattendedRequest, approval: 'every-wave' });
    run = aborted;
    await waitForPendingWait(aborted, 'approval of the plan');
    await send(aborted, 'abort');

    expect(await waitForFailure(aborted)).toMatchObject({ type: 'Aborted' });
    expect(await sent).toBe('no: the migration has ended');
  });
});

it('ends a preflight that cannot release its lock', async () => {
  const api = new BrokenApiServer('releaseLock');
  const cluster = fakeCluster({ before: api.before });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const options = { taskQueue, workflowId: randomUUID(), args: [{ cluster: 'prod' }] };

    const report: unknown = await client.workflow.execute('clusterPreflight', options);

    expect(report).toMatchObject({ mayStart: true });
  });
});
