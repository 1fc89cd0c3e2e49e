import { fakeCluster } from '../support/fake-cluster.ts';
import { startRun } from '../support/migration-run.ts';
import { timeLimits } from '../support/time-limits.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

const nodes = Array.from({ length: 230 }, (_, index) => `n${String(index).padStart(3, '0')}`);
const request = { cluster: 'prod', approval: 'none', cleanup: 'automatic', waves: { maxConcurrency: 50 } };

it(
  'is told of a large cluster only what is not as expected, and misses nothing of it',
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

it('hands over in the middle of what is done on every node, and does nothing twice', async () => {
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
