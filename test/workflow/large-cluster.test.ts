import { fakeCluster } from '../support/fake-cluster.ts';
import { signal, statusQuery } from '../../workflows/messages.ts';
import { approveCutover, approvePlan, startRun, waitForMigrationStatus } from '../support/migration-run.ts';
import { timeLimits } from '../support/time-limits.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

const nodes = Array.from({ length: 230 }, (_, index) => `n${String(index).padStart(3, '0')}`);
const request = { cluster: 'prod', approval: 'none', cleanup: 'automatic', waves: { maxConcurrency: 50 } };

it(
  'receives only the unexpected facts of a large cluster, and all of them',
  async () => {
    let waves = 0;
    const cluster = fakeCluster({
      nodes,
      before: (activity) => {
        if (activity !== 'readLedger' && activity !== 'observeNodes') return;
        if (activity === 'observeNodes') waves++;
        const last = cluster.nodes.get('n229');
        if (last === undefined) return;
        // Some observations after the first one, a node joins and another is not Ready for a while.
        if (waves === 4) cluster.add({ name: 'new' });
        last.ready = waves < 4 || waves > 5;
      },
    });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, request);
      const report = await run.result();
      expect(report.nodes).toHaveLength(nodes.length + 1);
      expect(report.nodes.every(({ state }) => state === 'migrated')).toBe(true);
      expect(report.notes).toContain('new has joined the cluster');
      const { events = [] } = await client.workflow.getHandle(run.workflowId, run.firstExecutionRunId).fetchHistory();
      const scheduled = new Map(
        (events ?? []).map((event) => [
          String(event.eventId),
          event.activityTaskScheduledEventAttributes?.activityType?.name,
        ])
      );
      const sizes = (events ?? []).flatMap(({ activityTaskCompletedEventAttributes: done }) =>
        scheduled.get(String(done?.scheduledEventId)) === 'observeNodes'
          ? [done?.result?.payloads?.[0]?.data?.length ?? 0]
          : []
      );
      expect(sizes.length).toBeGreaterThan(5);
      // The first observation returns all nodes; later ones return only the parts in which something changed.
      expect(Math.min(...sizes)).toBeLessThan(100);
      expect(sizes.slice(2).every((size) => size < 1_000)).toBe(true);
    });
    expect(cluster.broken).toEqual([]);
  },
  timeLimits.longTest
);

it('continues as new during a step of every node, and repeats nothing', async () => {
  const subset = nodes.slice(0, 16);
  const cluster = fakeCluster({ nodes: subset });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { ...request, waves: { maxConcurrency: 4 } }, { historyLimit: 150 });
    expect(await run.result()).toMatchObject({ phase: 'done', changed: true });
    let runs = 0;
    for await (const execution of client.workflow.list({ query: `WorkflowId = '${run.workflowId}'` }))
      runs += execution.runId ? 1 : 0;
    expect(runs).toBeGreaterThan(3);
  });
  for (const step of ['flipNode', 'restartOutdatedAgent', 'cleanHost']) {
    const calls = cluster.calls.filter((call) => call.startsWith(`${step} `));
    expect(calls.sort()).toEqual(subset.map((node) => `${step} ${node}`));
  }
  expect(cluster.broken).toEqual([]);
});

it(
  'loses no approval that was given in advance when it continues as new',
  async () => {
    const many = nodes.slice(0, 40);
    const reasonOf = (node: string): string => `change of ${node} `.repeat(40).slice(0, 500);
    const cluster = fakeCluster({ nodes: many });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const everyNode = { ...request, approval: 'every-node', waves: { maxConcurrency: 20 } };
      const run = await startRun(client, taskQueue, everyNode, { historyLimit: 150 });
      for (const node of many) await run.signal(signal('approve'), { node, by: 'ann', reason: reasonOf(node) });

      await approvePlan(run);
      await approveCutover(run);
      const report = await run.result();

      expect(report.nodes.map(({ name, state, approval }) => [name, state, approval?.by, approval?.reason])).toEqual(
        many.map((node) => [node, 'migrated', 'ann', reasonOf(node)])
      );
      const first = client.workflow.getHandle(run.workflowId, run.firstExecutionRunId);
      expect((await first.describe()).status.name).toBe('CONTINUED_AS_NEW');
    });
    expect(cluster.broken).toEqual([]);
  },
  timeLimits.longTest
);

it('pauses, instead of losing the run, while its state is too large for the next one', async () => {
  const cluster = fakeCluster({ nodes: nodes.slice(0, 6) });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const limits = { historyLimit: 60, stateLimit: 1_000 };
    const run = await startRun(client, taskQueue, { ...request, waves: { maxConcurrency: 2 } }, limits);
    let pauses = 0;
    for (;;) {
      const status = await waitForMigrationStatus(run, ({ phase, paused }) => phase === 'done' || paused !== undefined);
      if (status.phase === 'done') break;
      expect(status.paused?.reason).toMatch(/its state of \d+ bytes is too large for the next run/);
      await run.signal(signal('resume'), {});
      await waitForMigrationStatus(run, ({ phase, paused }) => phase === 'done' || paused?.at !== status.paused?.at);
      pauses++;
    }

    expect(await run.result()).toMatchObject({ phase: 'done', changed: true });
    expect((await run.query(statusQuery)).nodes.every(({ state }) => state === 'migrated')).toBe(true);
    expect(pauses).toBeGreaterThan(0);
    expect((await run.describe()).runId).toBe(run.firstExecutionRunId);
  });
  expect(cluster.broken).toEqual([]);
});
