import type { Client } from '@temporalio/client';
import { statusQuery } from '../../workflows/messages.ts';
import type { clusterMigration } from '../../workflows/index.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import { hold, lengthenHistory, send } from '../support/interventions.ts';
import { startRun, unattendedRequest, waitForPendingWait, type Run } from '../support/migration-run.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

const manual = { ...unattendedRequest, cleanup: 'approve' };
const ofRollback = /^(revertNodeFlip|restoreSourceCni|uninstallCilium|removeNodeConfig$)/;
const refusal = /^no: the removal of Canal began at .*, the point of no return: \w+ is no longer possible$/;

async function approveCleanup(run: Run): Promise<void> {
  await waitForPendingWait(run, 'approval of the cleanup');
  expect(await send(run, 'approve', { cleanup: true, by: 'ann' })).toBe('the cleanup is approved');
}

/** Starts the next run of a migration together with a request to roll back. */
async function startWithRollback(client: Client, taskQueue: string, { workflowId }: Run): Promise<Run> {
  const { runId } = await client.workflow.getHandle(workflowId).describe();
  const started = await client.workflow.signalWithStart<typeof clusterMigration, [unknown]>('clusterMigration', {
    taskQueue,
    workflowId,
    args: [manual],
    signal: 'rollback',
    signalArgs: [{ all: true }],
  });
  expect(started.signaledRunId).not.toBe(runId);
  return client.workflow.getHandle<typeof clusterMigration>(workflowId) as Run;
}

it.each([
  ['before Canal is removed', 'removeCanal'],
  ['after Canal is removed', 'cleanHost'],
  ['at the last step', 'removeHelpers'],
])(
  'is remembered by the next run when a run is terminated %s: it asks nothing, and rolls nothing back',
  async (_, step) => {
    const terminated = hold(step);
    const ofSecondRun = hold('ledger after');
    let isSecondRun = false;
    const cluster = fakeCluster({
      nodes: ['a', 'b'],
      before: async (...call) => {
        await terminated.before(...call);
        if (isSecondRun) await ofSecondRun.before(...call);
      },
    });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const first = await startRun(client, taskQueue, manual);
      await approveCleanup(first);
      await terminated.waitUntilReached();
      // Its activity is cancelled, and has no effect any more.
      await first.terminate();
      const callsBefore = cluster.calls.length;

      isSecondRun = true;
      const second = await startWithRollback(client, taskQueue, first);
      await ofSecondRun.waitUntilReached();
      const status = await second.query(statusQuery);
      const answers = await Promise.all(
        (['rollback', 'abort', 'pause'] as const).map((name) =>
          send(second, name, name === 'rollback' ? { all: true } : {})
        )
      );
      ofSecondRun.release();

      expect(status).toMatchObject({ phase: 'cleanup', approvals: { cleanup: { by: 'ann' } } });
      expect(status).not.toHaveProperty('waiting');
      for (const answer of answers) expect(answer).toMatch(refusal);
      const report = await second.result();
      expect(report).toMatchObject({ phase: 'done', changed: true });
      expect(report.timeline.map(({ phase }) => phase)).toEqual(['preflight', 'cleanup', 'done']);
      expect(report.notes.join('\n')).toContain('rollback was ignored: the removal of Canal began at');
      const calls = cluster.calls.slice(callsBefore);
      expect(calls.filter((call) => ofRollback.test(call))).toEqual([]);
    });
    expect(cluster.system).toMatchObject({ canal: false, installed: true, lock: '' });
    expect(cluster.broken).toEqual([]);
  }
);

it('refuses everything that would keep Canal at every step of an automatic cleanup', async () => {
  const steps = [
    ...['recordPointOfNoReturn', 'removeCanal', 'cleanHost', 'removeCanalTraces', 'ledger after', 'removeHelpers'],
  ].map((step) => hold(step));
  const cluster = fakeCluster({
    nodes: ['a'],
    before: async (...call) => {
      for (const { before } of steps) await before(...call);
    },
  });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    for (const step of steps) {
      await step.waitUntilReached();
      expect(await send(run, 'rollback', { all: true })).toMatch(refusal);
      expect(await send(run, 'rollback', { node: 'a' })).toMatch(refusal);
      expect(await send(run, 'abort')).toMatch(refusal);
      expect(await send(run, 'reject', { cleanup: true })).toMatch(refusal);
      step.release();
    }
    expect(await run.result()).toMatchObject({
      phase: 'done',
      approvals: { cleanup: { by: 'cni-live-migration' } },
      pointOfNoReturn: expect.any(String) as string,
    });
  });
  expect(cluster.broken).toEqual([]);
});

it('is carried to the next run when the cleanup continues as new', async () => {
  const removal = hold('removeCanal');
  const cluster = fakeCluster({ nodes: ['a', 'b'], before: removal.before });
  const historyLimit = 400;
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest, { historyLimit });
    await removal.waitUntilReached();
    const { runId } = await run.describe();
    expect(await send(run, 'rollback', { all: true })).toMatch(refusal);
    await lengthenHistory(run, historyLimit);
    removal.release();

    const report = await run.result();

    expect(report.phase).toBe('done');
    expect((await run.describe()).runId).not.toBe(runId);
  });
  expect(cluster.calls.filter((call) => call === 'removeCanal')).toHaveLength(1);
  expect(cluster.calls.filter((call) => ofRollback.test(call))).toEqual(['removeNodeConfig']);
  expect(cluster.broken).toEqual([]);
  expect(cluster.system.lock).toBe('');
});

it.each(['automatic', 'approve'])('is not reached during the export of a cleanup that is "%s"', async (cleanup) => {
  const running = hold('exportCalico');
  const cluster = fakeCluster({ nodes: ['a', 'b'], before: running.before });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { ...unattendedRequest, cleanup });
    if (cleanup === 'approve') await approveCleanup(run);
    await running.waitUntilReached();

    expect(await send(run, 'rollback', { all: true })).toBe('rollback of all nodes requested');

    expect(await run.result()).toMatchObject({ phase: 'rolled-back' });
  });
  expect(cluster.system).toMatchObject({ canal: true, installed: false, lock: '' });
  expect(cluster.broken).toEqual([]);
});

it('is not passed while the migration is paused', async () => {
  const running = hold('exportCalico');
  const cluster = fakeCluster({ nodes: ['a'], before: running.before });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    await running.waitUntilReached();
    expect(await send(run, 'pause', { by: 'ann' })).toContain('paused');
    running.release();

    const status = await waitForPendingWait(run, 'resume (paused by ann)');

    expect(status).not.toHaveProperty('pointOfNoReturn');
    expect(cluster.calls).not.toContain('recordPointOfNoReturn');
    await send(run, 'resume');
    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
  expect(cluster.broken).toEqual([]);
});

it('reports a rollback that came with the start of a migration that has ended long ago', async () => {
  const cluster = fakeCluster({ nodes: [{ name: 'a', flipped: true }], facts: { ciliumOwnsCni: true } });
  cluster.system.canal = false;
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const first = await startRun(client, taskQueue, manual);
    await first.result();

    const second = await startWithRollback(client, taskQueue, first);

    const report = await second.result();
    expect(report).toMatchObject({ phase: 'done', changed: false });
    expect(report.notes).toEqual(['rollback was ignored: Canal is already removed']);
  });
});
