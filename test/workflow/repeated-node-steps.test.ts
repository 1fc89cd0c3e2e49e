import type { Client } from '@temporalio/client';
import { nodeQuery, statusQuery } from '../../workflows/messages.ts';
import type { NodeStatus } from '../../model/status.ts';
import { FailingActivity } from '../support/failing-activity.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import { hold, send, waitFor } from '../support/interventions.ts';
import {
  startRun,
  states,
  unattendedRequest,
  waitForFailure,
  waitForMigrationStatus,
  waitForQueryResult,
  type Run,
} from '../support/migration-run.ts';
import { skipTime } from '../support/time-skips.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** Steps of a node, in a wave with others, that fail for a reason that may pass: as those of the whole cluster. */
const server = new WorkflowServer({ skipsTime: true });
beforeAll(() => server.start());
afterAll(() => server.stop());

const minuteMs = 60_000;
type Cluster = ReturnType<typeof fakeCluster>;

/** Starts with the canary a, and then migrates b and c in one wave. */
const input = { ...unattendedRequest, waves: { canaryNode: 'a', maxConcurrency: 2 } };
const step = 'b: verify first pod on Cilium';

async function withFailingStep(
  failing: FailingActivity,
  test: (run: Run, cluster: Cluster, client: Client) => Promise<void>,
  request: object = input
): Promise<Cluster> {
  const cluster = fakeCluster({ nodes: ['a', 'b', 'c'], before: failing.before });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    await test(await startRun(client, taskQueue, request), cluster, client);
  });
  expect(cluster.broken).toEqual([]);
  return cluster;
}

/** Waits until a node satisfies a condition. */
async function waitForNode(run: Run, name: string, condition: (node: NodeStatus) => boolean): Promise<NodeStatus> {
  const node = await waitForQueryResult(
    () => run.query(nodeQuery, name),
    (current) => current !== undefined && condition(current)
  );
  if (node === undefined) throw new Error(`there is no node ${name}`);
  return node;
}

const isStopped = ({ repeatedSteps = [] }: NodeStatus): boolean =>
  repeatedSteps.some(({ state }) => state === 'stopped');

it('is shown after two attempts, while the other nodes of the wave continue', async () => {
  const failing = new FailingActivity('verify cilium b', 'VerificationFailed', { heldAttempt: 3 });
  await withFailingStep(failing, async (run) => {
    const node = await waitForNode(run, 'b', ({ repeatedSteps = [] }) => repeatedSteps[0]?.attempts === 2);

    expect(node).toMatchObject({ state: 'migrating', needsRepair: true });
    expect(node.waitingFor).toBe(
      `the step "${step}", which is repeated: attempt 2 failed (VerificationFailed: the reason)`
    );
    expect(node).not.toHaveProperty('answers');
    await waitForNode(run, 'c', ({ state }) => state === 'migrated');
    failing.repair();
    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
});

describe('a step of a node without an attempt left', () => {
  it('is a question, which a retry answers', async () => {
    const failing = new FailingActivity('verify cilium b', 'VerificationFailed');
    await withFailingStep(failing, async (run) => {
      const node = await waitForNode(run, 'b', isStopped);
      const { waiting, waitingFor } = await waitForMigrationStatus(
        run,
        (status) => status.waiting?.kind === 'decision'
      );

      expect(node.answers?.map(({ message, input: of }) => [message, of])).toEqual([
        ['retry', { node: 'b' }],
        ['rollback', { node: 'b' }],
      ]);
      expect(waiting).toMatchObject({ key: step, answers: expect.arrayContaining(node.answers ?? []) as unknown });
      expect(waitingFor).toContain(`a decision about the step "${step}"`);
      expect(failing.total).toBe(40);
      failing.repair();
      expect(await send(run, 'retry', { node: 'b' })).toBe('the step of b is repeated');
      expect(await run.result()).toMatchObject({ phase: 'done' });
    });
  });

  it('is rolled back on request', async () => {
    const failing = new FailingActivity('verify cilium b', 'VerificationFailed');
    await withFailingStep(failing, async (run, cluster) => {
      await waitForNode(run, 'b', isStopped);

      expect(await send(run, 'rollback', { node: 'b' })).toBe('rollback of b requested');

      const node = await waitForNode(run, 'b', ({ state }) => state === 'rolled-back');
      expect(node).not.toHaveProperty('repeatedSteps');
      expect(cluster.nodes.get('b')).toMatchObject({ flipped: false, cordoned: false, pods: 'canal' });
      expect(failing.total).toBe(40);
      await send(run, 'abort');
      await waitForFailure(run);
    });
  });

  it('is restored by an abort', async () => {
    const failing = new FailingActivity('verify cilium b', 'VerificationFailed');
    const cluster = await withFailingStep(failing, async (run) => {
      await waitForNode(run, 'b', isStopped);

      expect(await send(run, 'abort')).toContain('abort requested');

      expect(await waitForFailure(run)).toMatchObject({ type: 'Aborted' });
    });
    expect(cluster.cordoned()).toEqual([]);
    expect(cluster.nodes.get('b')).toMatchObject({ flipped: false });
  });

  it('is rolled back without a question with onFailure: rollback', async () => {
    const failing = new FailingActivity('verify cilium b', 'VerificationFailed');
    await withFailingStep(
      failing,
      async (run) => {
        const node = await waitForNode(run, 'b', ({ state }) => state === 'rolled-back');

        expect(node.failure).toMatchObject({ type: 'VerificationFailed' });
        expect(failing.total).toBe(40);
        await send(run, 'abort');
        await waitForFailure(run);
      },
      { ...input, onFailure: 'rollback' }
    );
  });
});

it('asks about a node that cannot be restored, also after an abort', async () => {
  const failing = new FailingActivity('uncordonNode b', 'KubernetesForbidden');
  const cluster = await withFailingStep(failing, async (run) => {
    await waitForNode(run, 'b', isStopped);
    await send(run, 'abort');
    await waitFor(() => failing.total > 40);
    const { answers = [] } = await waitForNode(run, 'b', (node) => isStopped(node) && node.answers?.length === 1);

    expect(answers.map(({ message }) => message)).toEqual(['retry']);
    failing.repair();
    expect(await send(run, 'retry', { node: 'b' })).toBe('the step of b is repeated');
    expect(await waitForFailure(run)).toMatchObject({ type: 'Aborted' });
  });
  expect(cluster.cordoned()).toEqual([]);
});

it('continues when the API server is back, although its question was open', async () => {
  const failing = new FailingActivity('flipNode b', 'ClusterUnreachable');
  await withFailingStep(failing, async (run, _, client) => {
    await waitForNode(run, 'b', ({ repeatedSteps = [] }) => repeatedSteps.length > 0);
    await skipTime(client.workflow.getHandle(`${run.workflowId}/node/b`), 10 * minuteMs);

    const node = await waitForNode(run, 'b', ({ repeatedSteps = [] }) => repeatedSteps[0]?.state === 'overdue');

    expect(node.answers?.map(({ message }) => message)).toEqual(['retry', 'rollback']);
    expect((await run.query(statusQuery)).waiting?.kind).toBe('step');
    failing.repair();
    const report = await run.result();
    expect(states(report)).toEqual(['migrated', 'migrated', 'migrated']);
  });
});

it('is answered by the next run when the run that started it was terminated', async () => {
  const migration = hold('drain to cilium a');
  const failing = new FailingActivity('uncordonNode a', 'KubernetesForbidden');
  const cluster = fakeCluster({
    nodes: ['a'],
    before: async (...call) => {
      await migration.before(...call);
      await failing.before(...call);
    },
  });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const { workflowId, ...first } = await startRun(client, taskQueue, unattendedRequest);
    await migration.waitUntilReached();
    await client.workflow.getHandle(workflowId, first.firstExecutionRunId).terminate();
    await waitFor(() => failing.total === 40);
    await client.workflow.start('clusterMigration', { taskQueue, workflowId, args: [unattendedRequest] });
    const run = client.workflow.getHandle(workflowId) as Run;
    await waitForNode(run, 'a', ({ answers = [] }) => answers.length > 0);
    failing.repair();

    await send(run, 'retry', { node: 'a' });

    const ofNode = client.workflow.getHandle(`${workflowId}/node/a`);
    await waitFor(async () => (await ofNode.describe()).status.name !== 'RUNNING');
    expect(cluster.cordoned()).toEqual([]);
    await skipTime(run, 10 * minuteMs);
    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
});
