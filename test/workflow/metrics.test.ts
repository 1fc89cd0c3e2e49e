import { Client, type WorkflowQueryInput } from '@temporalio/client';
import type { MetricMeter } from '@temporalio/common';
import { MigrationMetrics } from '../../worker/metrics.ts';
import { signal } from '../../workflows/messages.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import { startRun, waitForPendingWait } from '../support/migration-run.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

it('exports every open migration, and removes those that have ended', async () => {
  const gauges = new Map<string, number>();
  const meter = {
    createGauge: (name: string) => ({
      set: (value: number, tags: object) => gauges.set(`${name} ${Object.values(tags).join(' ')}`, value),
    }),
  } as unknown as MetricMeter;
  await server.withWorker(fakeCluster({ nodes: ['a', 'b'] }).activities, async (client, taskQueue) => {
    const metrics = new MigrationMetrics(client, meter);
    const run = await startRun(client, taskQueue, { cluster: 'prod' });
    await waitForPendingWait(run, 'approval of the plan');
    // Visibility may lag behind.
    while (gauges.size === 0) await metrics.update();
    expect(gauges.get('cni_migration_phase prod plan')).toBe(1);
    expect(gauges.get('cni_migration_nodes prod pending')).toBe(2);
    expect(gauges.get('cni_migration_waiting_seconds prod approval')).toBeGreaterThan(0);
    await run.terminate();
    while (gauges.get('cni_migration_phase prod plan') !== 0) await metrics.update();
    expect(gauges.get('cni_migration_nodes prod pending')).toBe(0);
  });
});

it('sends no query to a migration that has not changed', async () => {
  const meter = { createGauge: () => ({ set: () => undefined }) } as unknown as MetricMeter;
  await server.withWorker(fakeCluster({ nodes: ['a', 'b'] }).activities, async (client, taskQueue) => {
    let queries = 0;
    const interceptor = {
      query: (input: WorkflowQueryInput, next: (input: WorkflowQueryInput) => Promise<unknown>) => {
        queries++;
        return next(input);
      },
    };
    const counting = new Client({ connection: client.connection, interceptors: { workflow: [interceptor] } });
    const metrics = new MigrationMetrics(counting, meter);
    const run = await startRun(client, taskQueue, { cluster: 'quiet' });
    await waitForPendingWait(run, 'approval of the plan');
    // Visibility may lag behind.
    while (queries === 0) await metrics.update();
    // One of the status and one of the ledger.
    expect(queries).toBe(2);
    await metrics.update();
    expect(queries).toBe(2);
    await run.signal(signal('approve'), { plan: true });
    await waitForPendingWait(run, 'approval of node a');
    await metrics.update();
    expect(queries).toBe(4);
    await run.terminate();
  });
});
