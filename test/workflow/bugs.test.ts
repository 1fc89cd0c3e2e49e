import { randomUUID } from 'node:crypto';
import { Worker, type WorkflowBundle } from '@temporalio/worker';
import { payloadConverterPath } from '../../temporal/data-converter.ts';
import { bundleWithChange, type Change } from '../support/changed-build.ts';
import { fakeCluster, permanent } from '../support/fake-cluster.ts';
import { hold, send, waitFor } from '../support/interventions.ts';
import {
  startRun,
  unattendedRequest,
  waitForMigrationStatus,
  waitForPendingWait,
  type Run,
} from '../support/migration-run.ts';
import { WorkflowServer, plainBundle } from '../support/workflow-server.ts';

/** A bug of the workflows fails the workflow task, and not the migration: a corrected build continues it. */
const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

type Cluster = ReturnType<typeof fakeCluster>;

async function withBuild(
  workflowBundle: WorkflowBundle,
  cluster: Cluster,
  taskQueue: string,
  work: () => Promise<void>
): Promise<void> {
  const worker = await Worker.create({
    ...{ connection: server.env.nativeConnection, taskQueue, workflowBundle },
    activities: cluster.activities,
    dataConverter: { payloadConverterPath },
    maxHeartbeatThrottleInterval: '100 ms',
  });
  await worker.runUntil(work);
}

const bug = "throw new TypeError('a bug');";

const bugs: readonly (Change & { where: string; workflow: (run: Run) => string; done: string })[] = [
  {
    where: 'in the workflow of the cluster, while other nodes of a wave are in progress',
    file: 'workflows/cluster/node-runs.ts',
    before: '      this.nodes.expectMigrated(node.name);',
    insert: `      if (node.name === 'b') ${bug}`,
    workflow: ({ workflowId }) => workflowId,
    done: 'uncordonNode b',
  },
  {
    where: 'in the workflow of a node',
    file: 'workflows/node/node-migration.ts',
    before: "  await steps.verify('cilium', 'verify first pod on Cilium');",
    insert: `  if (steps.node === 'b') ${bug}`,
    workflow: ({ workflowId }) => `${workflowId}/node/b`,
    done: 'flipNode b',
  },
  {
    where: 'in the cutover, while other agents restart',
    file: 'workflows/cluster/phases/cutover.ts',
    before: "  const expected = 'cilium' as const;",
    insert: `  if (node === 'b') ${bug}`,
    workflow: ({ workflowId }) => workflowId,
    done: 'restartOutdatedAgent b',
  },
];

it.each(bugs)(
  '$where: it keeps the lock, and is continued by a corrected build',
  async ({ workflow, done, ...change }) => {
    const others = [hold('drain to cilium c'), hold('restartOutdatedAgent c')];
    if (change.file.includes('cutover')) others[0]?.release();
    const cluster = fakeCluster({
      nodes: ['a', 'b', 'c', 'd'],
      before: async (...call) => {
        for (const { before } of others) await before(...call);
      },
    });
    const taskQueue = randomUUID();
    const { client } = server.env;
    const run = await startRun(client, taskQueue, { ...unattendedRequest, waves: { maxConcurrency: 3 } });
    await withBuild(await bundleWithChange(change), cluster, taskQueue, async () => {
      await waitFor(() => cluster.calls.includes(done));
      await waitFor(async () => (await failedTasks(workflow(run))).some((message) => message.includes('a bug')));
      expect((await run.describe()).status.name).toBe('RUNNING');
      expect(cluster.system.lock).toBe(run.workflowId);
      for (const { release } of others) release();
    });

    await withBuild(await plainBundle(), cluster, taskQueue, async () => {
      const { phase, nodes } = await run.result();
      expect(phase).toBe('done');
      for (const node of nodes) expect(node).not.toHaveProperty('failure');
    });

    expect(cluster.calls.filter((call) => call.startsWith('flipNode'))).toHaveLength(4);
    expect(cluster.calls.filter((call) => call === 'releaseLock')).toHaveLength(1);
    expect(cluster.calls).not.toContain('collectDiagnostics b');
    expect(cluster.broken).toEqual([]);
  }
);

/** Returns the failures of the workflow tasks of a workflow. */
async function failedTasks(workflowId: string): Promise<string[]> {
  const { events } = await server.env.client.workflow.getHandle(workflowId).fetchHistory();
  return (events ?? []).flatMap(({ workflowTaskFailedEventAttributes: task }) => task?.failure?.message ?? []);
}

it('a result that the code cannot use fails the task, and status is still answered before it', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  const { observeNodes } = cluster.activities;
  let reads = 0;
  cluster.activities.observeNodes = async (input) =>
    ++reads === 2 ? ({} as Awaited<ReturnType<typeof observeNodes>>) : observeNodes(input);
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);

    await waitFor(async () => (await failedTasks(run.workflowId)).length > 0);

    expect((await run.describe()).status.name).toBe('RUNNING');
    expect(cluster.system.lock).toBe(run.workflowId);
    expect(cluster.calls).not.toContain('releaseLock');
    await run.terminate();
  });
});

it('answers queries and decisions when changes of the nodes cannot be watched', async () => {
  let isBroken = true;
  const cluster = fakeCluster({
    nodes: ['a'],
    before: (activity) => {
      if (activity === 'waitForNodeChange') throw permanent('ClusterUnreachable', 'the token has expired');
      if (isBroken && activity === 'verify cilium') throw permanent('VerificationFailed', 'no DNS');
    },
  });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);

    const { notes } = await waitForMigrationStatus(run, (status) => status.notes.length > 0);

    expect(notes.join('\n')).toContain('changes of the nodes are not noticed any more');
    await waitForPendingWait(run, 'a decision about a (VerificationFailed)');
    expect(await failedTasks(run.workflowId)).toEqual([]);
    isBroken = false;
    expect(await send(run, 'retry', { node: 'a' })).toBe('a will be retried');
    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
});
