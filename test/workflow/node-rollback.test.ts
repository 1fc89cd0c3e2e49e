import { randomUUID } from 'node:crypto';
import { statusQuery } from '../../workflows/messages.ts';
import { fakeCluster, permanent } from '../support/fake-cluster.ts';
import { hold, send, waitFor } from '../support/interventions.ts';
import {
  startRun,
  states,
  unattendedRequest,
  waitForFailure,
  waitForMigrationStatus,
  waitForPendingWait,
} from '../support/migration-run.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** What an operator decides about a single node, above all while it fails. */
const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

const onCanal = { flipped: false, pods: 'canal', cni: 'canal', cordoned: false };

/** Returns a `before` that lets a step of a node fail until it is repaired. */
function failing(step: string, node: string, type = 'VerificationFailed') {
  let isBroken = true;
  return {
    repair: () => (isBroken = false),
    before: (activity: string, on: string | undefined): void => {
      if (isBroken && activity === step && on === node) throw permanent(type, 'no DNS');
    },
  };
}

it.each(['wait', 'rollback', 'stop'])(
  'executes a rollback that is accepted while a node collects diagnostics, with onFailure "%s"',
  async (onFailure) => {
    const diagnostics = hold('collectDiagnostics a');
    const { before } = failing('verify cilium', 'a');
    const cluster = fakeCluster({
      nodes: ['a', 'b'],
      before: async (...call) => {
        before(...call);
        await diagnostics.before(...call);
      },
    });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, { ...unattendedRequest, onFailure });
      await diagnostics.waitUntilReached();

      expect(await send(run, 'rollback', { node: 'a' })).toBe('rollback of a requested');
      diagnostics.release();

      await waitForMigrationStatus(run, ({ nodes }) => nodes[0]?.state === 'rolled-back');
      const { nodes } = await waitForPendingWait(run, 'a decision about a (rolled-back)');
      expect(nodes[0]).not.toHaveProperty('failure');
      expect(cluster.nodes.get('a')).toMatchObject(onCanal);
      await run.terminate();
    });
    expect(cluster.broken).toEqual([]);
  }
);

describe('a decision about a failed node, while others of its wave are migrated, with onFailure "stop"', () => {
  it.each([
    ['rollback', 'rollback of b requested', 'rolled-back'],
    ['skip', 'b is skipped', 'skipped'],
  ] as const)('%s: it is executed, and the migration continues', async (name, answer, state) => {
    const other = hold('drain to cilium c');
    const { before } = failing('verify cilium', 'b');
    const cluster = fakeCluster({
      nodes: ['a', 'b', 'c', 'd'],
      before: async (...call) => {
        before(...call);
        await other.before(...call);
      },
    });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const input = { ...unattendedRequest, onFailure: 'stop', waves: { maxConcurrency: 2 } };
      const run = await startRun(client, taskQueue, input);
      await waitForMigrationStatus(run, ({ nodes }) => nodes[1]?.state === 'failed' && other.isReached());

      expect(await send(run, name, { node: 'b' })).toBe(answer);
      other.release();

      const status = await waitForPendingWait(run, `a decision about b (${state})`);
      expect(states(status)).toEqual(['migrated', state, 'migrated', 'migrated']);
      await run.terminate();
    });
    if (name === 'rollback') expect(cluster.nodes.get('b')).toMatchObject(onCanal);
    expect(cluster.broken).toEqual([]);
  });

  it('without one, the migration ends with the failure', async () => {
    const { before } = failing('verify cilium', 'b');
    const cluster = fakeCluster({ nodes: ['a', 'b', 'c'], before });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, { ...unattendedRequest, onFailure: 'stop' });

      const failure = await waitForFailure(run);

      expect(failure).toMatchObject({ type: 'VerificationFailed' });
      expect(failure.message).toContain('node b: no DNS');
    });
    expect(cluster.calls).not.toContain('cordonNode c');
    expect(cluster.system.lock).toBe('');
  });
});

it('keeps the failure of a gate although all pods of the node are on Cilium', async () => {
  const { before, repair } = failing('checkGates', 'a', 'GateBreached');
  const cluster = fakeCluster({ nodes: ['a', 'b'], before });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    // In this mode the node is uncordoned before its pods are evicted.
    const run = await startRun(client, taskQueue, { ...unattendedRequest, drain: { mode: 'recycle' } });

    await waitForPendingWait(run, 'a decision about a (GateBreached)');
    await send(run, 'setMaxConcurrency', { maxConcurrency: 2 });
    await send(run, 'pause');
    await send(run, 'resume');

    const { nodes } = await waitForPendingWait(run, 'a decision about a (GateBreached)');
    expect(nodes[0]).toMatchObject({ state: 'failed', failure: { type: 'GateBreached' } });
    expect(cluster.calls).not.toContain('cordonNode b');
    repair();
    await send(run, 'retry', { node: 'a' });
    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
});

it('sees that a failed node is migrated after a reset of its workflow', async () => {
  const { before, repair } = failing('verify cilium', 'a');
  const cluster = fakeCluster({ nodes: ['a', 'b'], before });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    await waitForPendingWait(run, 'a decision about a (VerificationFailed)');
    repair();
    const ofNode = client.workflow.getHandle(`${run.workflowId}/node/a`);
    const events = (await ofNode.fetchHistory()).events ?? [];
    const firstTask = events.find((event) => event.workflowTaskCompletedEventAttributes != null);
    await client.workflowService.resetWorkflowExecution({
      namespace: 'default',
      workflowExecution: { workflowId: ofNode.workflowId, runId: (await ofNode.describe()).runId },
      reason: 'DNS is repaired',
      requestId: randomUUID(),
      ...(firstTask?.eventId != null && { workflowTaskFinishEventId: firstTask.eventId }),
    });
    await client.workflow.getHandle(ofNode.workflowId).result();

    // A change of another node ends the wait for changes.
    cluster.add({ name: 'c' });

    expect(await run.result()).toMatchObject({ phase: 'done' });
    expect((await run.query(statusQuery)).notes).toContain('a was already migrated');
  });
  expect(cluster.cordoned()).toEqual([]);
  expect(cluster.broken).toEqual([]);
});

it('sidelines a node whose own workflow was cancelled, and continues with the others', async () => {
  const drain = hold('drain to cilium a');
  const cluster = fakeCluster({ nodes: ['a', 'b'], before: drain.before });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    await drain.waitUntilReached();

    await client.workflow.getHandle(`${run.workflowId}/node/a`).cancel();

    const status = await waitForPendingWait(run, 'a decision about a (rolled-back)');
    expect(states(status)).toEqual(['rolled-back', 'migrated']);
    await send(run, 'retry', { node: 'a' });
    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
  expect(cluster.broken).toEqual([]);
});

it('pauses once when the nodes cannot be read, and reads them again when it is resumed', async () => {
  let isBroken = true;
  let reads = 0;
  const cluster = fakeCluster({
    nodes: ['a'],
    before: (activity) => {
      if (activity !== 'observeNodes' || ++reads === 1 || !isBroken) return;
      throw permanent('KubernetesForbidden', 'the worker may not list nodes');
    },
  });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    const { paused } = await waitForPendingWait(run, 'resume');
    expect(paused?.reason).toContain('migrate failed (KubernetesForbidden): the worker may not list nodes');
    expect(reads).toBe(2);

    await send(run, 'resume');
    await waitFor(() => reads === 3);
    await waitForPendingWait(run, 'resume');
    isBroken = false;
    await send(run, 'resume');

    expect(await run.result()).toMatchObject({ phase: 'done' });
    expect((await run.query(statusQuery)).notes.filter((note) => note.startsWith('paused: '))).toHaveLength(2);
  });
});
