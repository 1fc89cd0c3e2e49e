import { fakeCluster } from '../support/fake-cluster.ts';
import { hold, send } from '../support/interventions.ts';
import { startRun, unattendedRequest, waitForPendingWait } from '../support/migration-run.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** Failures that no activity has typed. */
const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

it('names the workflow of a node that an operator terminated, and continues it when it is retried', async () => {
  const drain = hold('drain to cilium a');
  const cluster = fakeCluster({ nodes: ['a'], before: drain.before });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    await drain.waitUntilReached();
    const workflowId = `${run.workflowId}/node/a`;

    await client.workflow.getHandle(workflowId).terminate('a test');

    const { nodes } = await waitForPendingWait(run, 'a decision about a (NodeRunTerminated)');
    expect(nodes[0]?.failure).toEqual({
      type: 'NodeRunTerminated',
      message: `the workflow ${workflowId} was terminated; check the node, then retry it`,
    });
    drain.release();
    await send(run, 'retry', { node: 'a' });
    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
  expect(cluster.broken).toEqual([]);
});
