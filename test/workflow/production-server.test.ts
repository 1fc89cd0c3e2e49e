import { msToTs } from '@temporalio/common/lib/time.js';
import { waitFor } from '../../lab/process.ts';
import { createRunStatusCheck } from '../../worker/run-status.ts';
import { signal } from '../../workflows/messages.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import { approveCutover, approvePlan, startRun, waitForPendingWait } from '../support/migration-run.ts';
import { startProductionServer } from '../support/production-server.ts';
import { timeLimits } from '../support/time-limits.ts';
import { defineVersioningTests } from '../support/versioning-cases.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** What depends on the server, on the server of docker-compose.yml. */
const server = new WorkflowServer({ startServer: startProductionServer });
beforeAll(() => server.start());
afterAll(() => server.stop());

it('is Temporal 1.32', async () => {
  const { serverVersion } = await server.env.client.workflowService.getSystemInfo({});
  expect(serverVersion).toMatch(/^1\.32\./);
});

it('accepts no activity without a workflow', async () => {
  const activity = { namespace: 'default', activityId: 'a', activityType: { name: 'removeCanal' } };
  const request = { ...activity, taskQueue: { name: 'cni-migration' }, startToCloseTimeout: msToTs('1 minute') };

  await expect(server.env.client.workflowService.startActivityExecution(request)).rejects.toThrow(/disabled/);
});

it('runs a migration, which Temporal itself may pause', async () => {
  const cluster = fakeCluster({ nodes: ['a', 'b'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { cluster: 'prod', cleanup: 'automatic' });
    await approvePlan(run);
    await waitForPendingWait(run, 'approval of node a');
    const request = { namespace: 'default', workflowId: run.workflowId, identity: 'ann', reason: 'freeze' };
    await client.workflowService.pauseWorkflowExecution({ ...request, requestId: 'pause' });
    const isPaused = async (): Promise<boolean> => (await run.describe()).status.name === 'PAUSED';
    await waitFor('the pause', isPaused, { timeoutMs: timeLimits.workflowState });
    const calls = cluster.calls.length;
    for (const node of ['a', 'b']) await run.signal(signal('approve'), { node });
    expect(await isPaused()).toBe(true);
    // No other migration may take the lock of the cluster.
    expect(await createRunStatusCheck(client)(run.workflowId, run.firstExecutionRunId)).toBe(true);
    expect(cluster.calls.length).toBe(calls);
    await client.workflowService.unpauseWorkflowExecution({ ...request, requestId: 'unpause' });
    await approveCutover(run);
    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
});

defineVersioningTests(server);
