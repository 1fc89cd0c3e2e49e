import { randomUUID } from 'node:crypto';
import { run as runProcess } from '../../lab/process.ts';
import { loadCatalogue } from '../../lab/tools/catalogue.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import { fakeFleet } from '../support/fake-fleet.ts';
import { buildFleetRequest, clusterNames, startFleet, waitForFleetStatus } from '../support/fleet-run.ts';
import {
  startRun,
  unattendedRequest,
  waitForFailure,
  waitForMigrationStatus,
  waitForPendingWait,
} from '../support/migration-run.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** Mistyped commands of the Temporal CLI: each has an answer that names what exists. */
const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

async function temporal(...args: string[]): Promise<string> {
  const { bin } = await loadCatalogue();
  return runProcess(bin('temporal'), ['--address', server.env.address, ...args]);
}

it('notes a signal with an unknown name in the status of a migration', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { ...unattendedRequest, cleanup: 'approve' });
    await waitForPendingWait(run, 'approval of the cleanup');
    const target = ['--workflow-id', run.workflowId, '--name'];

    await temporal('workflow', 'signal', ...target, 'aprove', '--input', '{"cleanup": true}');
    const { notes } = await waitForMigrationStatus(run, (status) => status.notes.length > 0);

    expect(notes).toEqual([expect.stringMatching(/^the signal "aprove" was ignored: there are approve, .*rollback/)]);
    await expect(temporal('workflow', 'update', 'execute', ...target, 'aprove')).rejects.toThrow(/aprove/);
    await expect(temporal('workflow', 'query', ...target, 'stats')).rejects.toThrow(/Registered queries: \[.*status/);
    await run.terminate();
  });
});

it('notes a signal with an unknown name in the status of a fleet', async () => {
  const { a } = clusterNames('a');
  const fleet = fakeFleet({ [a]: { nodes: ['n'] } });
  await server.withWorker(fleet.activities, async (client, taskQueue) => {
    const run = await startFleet(client, taskQueue, buildFleetRequest([a], { approval: 'every-cluster' }));
    await waitForFleetStatus(run, ({ waitingFor }) => waitingFor !== undefined);

    await temporal('workflow', 'signal', '--workflow-id', run.workflowId, '--name', 'aprove', '--input', '{}');
    const { notes } = await waitForFleetStatus(run, (status) => status.notes.length > 0);

    expect(notes).toEqual([expect.stringMatching(/^the signal "aprove" was ignored: there are approve, /)]);
    await run.terminate();
  });
});

it('fails a run with an unknown type at once, and lists the types', async () => {
  const cluster = fakeCluster();
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const workflowId = randomUUID();
    const target = ['--workflow-id', workflowId, '--task-queue', taskQueue, '--input', '{"cluster": "prod"}'];

    await temporal('workflow', 'start', '--type', 'ClusterPreflight', ...target);
    const failure = await waitForFailure(client.workflow.getHandle(workflowId));

    expect(failure).toMatchObject({ type: 'UnknownWorkflow', nonRetryable: true });
    expect(failure.message).toMatch(/^there is no workflow type "ClusterPreflight"; the types are clusterPreflight, /);
  });
  expect(cluster.calls).toEqual([]);
});
