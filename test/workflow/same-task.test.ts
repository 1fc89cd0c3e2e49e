import { randomUUID } from 'node:crypto';
import { Worker } from '@temporalio/worker';
import { payloadConverterPath } from '../../temporal/data-converter.ts';
import { fakeCluster, permanent } from '../support/fake-cluster.ts';
import { hold, waitFor, type Hold } from '../support/interventions.ts';
import {
  startRun,
  unattendedRequest,
  waitForFailure,
  waitForMigrationStatus,
  waitForPendingWait,
  type Run,
} from '../support/migration-run.ts';
import { WorkflowServer, plainBundle } from '../support/workflow-server.ts';

/** Messages that reach the workflow in the same task as the end of the step that they should interrupt. */
const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

type Cluster = ReturnType<typeof fakeCluster>;

/** Runs a migration whose workflows do not run while a step ends and a message arrives. */
async function sendTogether(
  cluster: Cluster,
  step: Hold,
  input: object,
  [name, message]: readonly [string, object],
  check: (run: Run) => Promise<void>
): Promise<void> {
  const taskQueue = randomUUID();
  const shared = { connection: server.env.nativeConnection, taskQueue, dataConverter: { payloadConverterPath } };
  const workflowBundle = await plainBundle();
  // Local activities run in the worker of the workflows.
  const ofWorkflows = { ...shared, workflowBundle, activities: cluster.activities, enableNonLocalActivities: false };
  const activities = await Worker.create({ ...shared, activities: cluster.activities });
  await activities.runUntil(async () => {
    const run = await startRun(server.env.client, taskQueue, { ...unattendedRequest, ...input });
    const first = await Worker.create(ofWorkflows);
    await first.runUntil(step.waitUntilReached());
    await run.signal(name, message);
    step.release();
    await waitFor(async () => {
      const { pendingActivities } = (await run.describe()).raw;
      return (pendingActivities ?? []).length === 0;
    });
    const second = await Worker.create(ofWorkflows);
    await second.runUntil(check(run));
  });
  expect(cluster.broken).toEqual([]);
}

it('a rollback of all nodes, at the end of the export, keeps Canal', async () => {
  const step = hold('exportCalico');
  const cluster = fakeCluster({ nodes: ['a'], before: step.before });

  await sendTogether(cluster, step, {}, ['rollback', { all: true }], async (run) => {
    expect(await run.result()).toMatchObject({ phase: 'rolled-back' });
  });

  expect(cluster.system).toMatchObject({ canal: true, installed: false, lock: '' });
});

it('an abort, at the end of the last step before the cleanup, keeps Canal', async () => {
  const step = hold('exportCalico');
  const cluster = fakeCluster({ nodes: ['a'], before: step.before });

  await sendTogether(cluster, step, {}, ['abort', {}], async (run) => {
    expect(await waitForFailure(run)).toMatchObject({ type: 'Aborted' });
  });

  expect(cluster.system).toMatchObject({ canal: true, lock: '' });
});

it('a pause, at the end of the export, keeps Canal', async () => {
  const step = hold('exportCalico');
  const cluster = fakeCluster({ nodes: ['a'], before: step.before });

  await sendTogether(cluster, step, {}, ['pause', {}], async (run) => {
    await waitForPendingWait(run, 'resume');
    expect(cluster.system.canal).toBe(true);
    await run.signal('resume', {});
    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
});

it.each(['wait', 'stop'])(
  'a rollback of all nodes, at the failure of a step with onFailure "%s", is executed',
  async (onFailure) => {
    const step = hold('deployIdentityBridge');
    const cluster = fakeCluster({
      nodes: ['a'],
      before: async (...call) => {
        await step.before(...call);
        if (call[0] === 'deployIdentityBridge') throw permanent('KubernetesForbidden', 'not allowed');
      },
    });

    await sendTogether(cluster, step, { onFailure }, ['rollback', { all: true }], async (run) => {
      expect(await run.result()).toMatchObject({ phase: 'rolled-back' });
    });
  }
);

it('a rollback of a node, at the end of its last step, is executed', async () => {
  const step = hold('uncordonNode a');
  const cluster = fakeCluster({ nodes: ['a'], before: step.before });

  await sendTogether(cluster, step, {}, ['rollback', { node: 'a' }], async (run) => {
    await waitForMigrationStatus(run, ({ nodes }) => nodes[0]?.state === 'rolled-back');
    await run.terminate();
  });

  expect(cluster.nodes.get('a')).toMatchObject({ flipped: false, pods: 'canal', cordoned: false });
});
