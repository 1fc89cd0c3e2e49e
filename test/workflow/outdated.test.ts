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

/** Facts that are outdated when a step relies on them. */
const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

it('migrates a node that joins while the cutover waits to start', async () => {
  const check = hold('requireAllPodsOnTarget');
  const cluster = fakeCluster({ nodes: ['a'], before: check.before });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    await check.waitUntilReached();
    await send(run, 'pause');
    check.release();
    await waitForPendingWait(run, 'resume');
    cluster.add({ name: 'joined' });

    await send(run, 'resume');

    const { phase, nodes, timeline } = await run.result();
    expect({ phase, states: nodes.map(({ state }) => state) }).toEqual({
      phase: 'done',
      states: ['migrated', 'migrated'],
    });
    expect(timeline.filter((entry) => entry.phase === 'migrate')).toHaveLength(2);
  });
  expect(cluster.broken).toEqual([]);
});

it('does not start with another plan than the one that was approved', async () => {
  const details = hold('planDetails');
  let isAgain = false;
  const cluster = fakeCluster({
    nodes: ['a'],
    before: async (...call) => {
      if (isAgain) await details.before(...call);
    },
  });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { cluster: 'prod' });
    await waitForPendingWait(run, 'approval of the plan');
    await send(run, 'pause');
    await waitForPendingWait(run, 'resume');
    cluster.add({ name: 'joined' });
    isAgain = true;
    await send(run, 'resume');
    await details.waitUntilReached();

    await send(run, 'approve', { plan: true });

    details.release();
    const { phase, notes } = await waitForPendingWait(run, 'approval of');
    expect(phase).toBe('plan');
    expect(notes.join('\n')).toContain('the approval of the plan was withdrawn');
    await send(run, 'approve', { plan: true });
    await waitForPendingWait(run, 'approval of node a');
    await run.terminate();
  });
});

describe('a node that an earlier attempt has flipped, while its retry reads it', () => {
  it.each([
    ['rollback', { node: 'a' }],
    ['abort', {}],
  ] as const)('%s: it is rolled back', async (name, message) => {
    let isBroken = true;
    const read = hold('observeNode a');
    const cluster = fakeCluster({
      nodes: ['a', 'b'],
      before: async (activity, node) => {
        if (!isBroken) return read.before(activity, node);
        if (activity === 'verify cilium' && node === 'a') throw permanent('VerificationFailed', 'no DNS');
      },
    });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, unattendedRequest);
      await waitForPendingWait(run, 'a decision about a (VerificationFailed)');
      isBroken = false;
      await send(run, 'retry', { node: 'a' });
      await read.waitUntilReached();

      expect(await send(run, name, message)).toContain('requested');

      if (name === 'abort') expect(await waitForFailure(run)).toMatchObject({ type: 'Aborted' });
      else expect(states(await waitForPendingWait(run, 'a decision about a (rolled-back)'))[0]).toBe('rolled-back');
      expect(cluster.nodes.get('a')).toMatchObject({ flipped: false, pods: 'canal', cni: 'canal', cordoned: false });
      if (name === 'rollback') await run.terminate();
    });
    expect(cluster.broken).toEqual([]);
  });
});

it('ends a run that is aborted while it reads the cluster for the first time', async () => {
  const inspection = hold('inspectCluster');
  const cluster = fakeCluster({ before: inspection.before });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    await inspection.waitUntilReached();

    expect(await send(run, 'abort')).toContain('abort requested');

    await waitFor(async () => (await run.describe()).status.name === 'FAILED');
    expect(await waitForFailure(run)).toMatchObject({ type: 'Aborted' });
    inspection.release();
  });
});

it('says that it does not know yet whether a rollback of all nodes is possible', async () => {
  const inspection = hold('inspectCluster');
  const cluster = fakeCluster({ nodes: [{ name: 'a', flipped: true }], before: inspection.before });
  const noReturn = { by: 'ann', reason: '', at: '2026-01-01T00:00:00.000Z' };
  Object.assign(cluster.system, { installed: true, ciliumOwnsCni: true, helpers: true, noReturn });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    await inspection.waitUntilReached();

    const answer = await send(run, 'rollback', { all: true });

    inspection.release();
    const { phase, notes } = await run.result();
    expect(answer).toContain('unless the removal of Canal has begun');
    expect(phase).toBe('done');
    expect(notes.join('\n')).toContain('rollback was ignored: the removal of Canal began');
  });
});

it('keeps the start of a decision when a node joins that it does not concern', async () => {
  const cluster = fakeCluster({
    nodes: ['a', 'b'],
    before: (activity, node) => {
      if (activity === 'verify cilium' && node === 'a') throw permanent('VerificationFailed', 'no DNS');
    },
  });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    const before = await waitForPendingWait(run, 'a decision about a');

    cluster.add({ name: 'c' });

    const after = await waitForMigrationStatus(
      run,
      ({ nodes, waiting }) => nodes.length === 3 && waiting !== undefined
    );
    expect(after.waiting).toEqual(before.waiting);
    await run.terminate();
  });
});

it('shows that it waits for the hook that reboots a node', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const reboot = { mode: 'hook', taskQueue: `${taskQueue}-of-nobody` };
    const run = await startRun(client, taskQueue, { ...unattendedRequest, reboot });

    const { nodes } = await waitForMigrationStatus(run, (status) => status.nodes[0]?.waitingFor !== undefined);

    expect(nodes[0]?.waitingFor).toBe(`a reboot of a by the hook on the task queue ${reboot.taskQueue}`);
    await run.terminate();
  });
});
