import { WorkflowExecutionAlreadyStartedError, WorkflowUpdateFailedError } from '@temporalio/client';
import { startMigration } from '../../client/index.ts';
import { migrationWorkflowId } from '../../workflows/messages.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import { waitForQueryResult } from '../support/migration-run.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

it('starts a migration once, controls it, and waits for its end', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const migration = await startMigration(client, { cluster: 'prod', approval: 'every-wave' }, { taskQueue });
    await expect(startMigration(client, { cluster: 'prod' }, { taskQueue })).rejects.toThrow(
      WorkflowExecutionAlreadyStartedError
    );
    await waitForQueryResult(
      () => migration.plan(),
      (plan) => plan !== undefined
    );
    expect(await migration.status()).toMatchObject({ cluster: 'prod', phase: 'plan' });
    // The text that the Web UI shows as current details.
    const handle = client.workflow.getHandle(migrationWorkflowId('prod'));
    await waitForQueryResult(
      () => migration.status(),
      ({ waitingFor }) => waitingFor !== undefined
    );
    const { currentDetails } = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata');
    expect(currentDetails).toContain('Waiting for approval of the plan');
    expect(currentDetails).toContain(
      `temporal workflow signal --workflow-id 'cni-migration/prod' --name approve --input '{"plan":true,"by":"YOUR NAME"}'`
    );
    await expect(migration.send('approve', { cleanup: true })).rejects.toThrow(WorkflowUpdateFailedError);
    expect(await migration.send('approve', { plan: true, by: 'ann' })).toBe('the plan is approved');
    expect(await migration.send('approve', { wave: 1 })).toBe('wave 1 is approved');
    expect(await migration.blockers()).toEqual([]);
    await waitForQueryResult(
      () => migration.status(),
      ({ phase }) => phase === 'cleanup'
    );
    await migration.send('approve', { cleanup: true });
    expect(await migration.result()).toMatchObject({ phase: 'done' });
  });
});
