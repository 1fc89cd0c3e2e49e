import type { Client } from '@temporalio/client';
import { signal, statusQuery } from '../../workflows/messages.ts';
import type { RemainingWork } from '../../model/remaining-nodes.ts';
import { hold, send, waitFor } from '../support/interventions.ts';
import { clusterWithLostNode } from '../support/lost-nodes.ts';
import { startRun, unattendedRequest, waitForPendingWait, type Run } from '../support/migration-run.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** Runs that end without a node that is switched off, and the runs after them. */
const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

const manual = { ...unattendedRequest, cleanup: 'approve' };
const entry = (...work: RemainingWork[]) => ({
  ...{ node: 'b', since: expect.any(String) as string, work },
  skipped: { by: 'ann', reason: 'no power', at: expect.any(String) as string },
});

/** Waits for the question about the node, and skips it. */
async function skip(run: Run): Promise<void> {
  const { waiting, remaining } = await waitForPendingWait(run, 'a decision about b, which is not Ready');
  expect(remaining).toMatchObject([{ node: 'b' }]);
  expect(remaining?.[0]).not.toHaveProperty('skipped');
  expect(waiting?.answers[0]).toEqual({
    does: 'end without b, and finish it when it is back',
    message: 'skip',
    input: { node: 'b' },
  });
  expect(await send(run, 'skip', { node: 'b', by: 'ann', reason: 'no power' })).toContain('b is skipped');
}

/** Runs a migration that ends without the node in the cleanup. */
async function endWithoutNode(client: Client, taskQueue: string): Promise<void> {
  const run = await startRun(client, taskQueue, unattendedRequest);
  await skip(run);
  const report = await run.result();
  expect(report).toMatchObject({ phase: 'done', remaining: [entry('clean-canal')] });
  expect((await run.query(statusQuery)).remaining).toEqual(report.remaining);
}

const inCleanup = { kind: 'switched off', at: 'removeCanal' } as const;

it('a cleanup ends without a skipped node, which the next run after its return finishes', async () => {
  const { cluster, bringBack } = clusterWithLostNode(inCleanup);
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    await endWithoutNode(client, taskQueue);
    expect(cluster.system).toMatchObject({ canal: false, helpers: true, lock: '', unfinished: { onlyNodes: true } });
    const next = async () => {
      const callsBefore = cluster.calls.length;
      const report = await (await startRun(client, taskQueue, manual)).result();
      return { report, calls: cluster.calls.slice(callsBefore).filter((call) => !/Lock|nodeNames/.test(call)) };
    };

    const whileAway = await next();

    expect(whileAway.report).toMatchObject({ phase: 'done', remaining: [entry('clean-canal')] });
    expect(whileAway.calls).toEqual(['inspectCluster', 'removeHelpers']);
    expect(cluster.system.helpers).toBe(true);
    bringBack();
    const afterReturn = await next();
    expect(afterReturn.report).toMatchObject({ phase: 'done', changed: true });
    expect(afterReturn.report.remaining).toBeUndefined();
    expect(afterReturn.calls).toEqual(['inspectCluster', 'cleanHost b', 'recordUnfinished', 'removeHelpers']);
    expect(cluster.system).toMatchObject({ helpers: false, unfinished: undefined, noReturn: undefined });
    expect((await next()).report).toMatchObject({ phase: 'done', changed: false });
  });
  expect(cluster.broken).toEqual([]);
});

it('a skipped node that leaves the cluster is forgotten by the next run', async () => {
  const { cluster, lose } = clusterWithLostNode(inCleanup);
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    await endWithoutNode(client, taskQueue);
    lose('deleted');

    const report = await (await startRun(client, taskQueue, manual)).result();

    expect(report).toMatchObject({ phase: 'done' });
    expect(report.remaining).toBeUndefined();
    expect(report.notes).toContain('b has left the cluster: nothing remains to be done on it');
  });
  expect(cluster.system).toMatchObject({ helpers: false, unfinished: undefined });
  expect(cluster.broken).toEqual([]);
});

it('a skipped node that is back before the end of the run is finished by it', async () => {
  const traces = hold('removeCanalTraces');
  const { cluster, bringBack } = clusterWithLostNode(inCleanup, traces.before);
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    await skip(run);
    await traces.waitUntilReached();
    bringBack();
    traces.release();

    const report = await run.result();

    expect(report.remaining).toBeUndefined();
    expect(cluster.calls).toContain('cleanHost b');
  });
  expect(cluster.system).toMatchObject({ helpers: false, unfinished: undefined });
  expect(cluster.broken).toEqual([]);
});

it('the run after a terminated one does not ask again about a skipped node', async () => {
  const traces = hold('removeCanalTraces');
  const { cluster } = clusterWithLostNode(inCleanup, traces.before);
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    await skip(run);
    await traces.waitUntilReached();
    await run.terminate();
    expect(cluster.system.unfinished).toMatchObject({ onlyNodes: false, nodes: [entry('clean-canal')] });
    cluster.system.lock = '';

    const report = await (await startRun(client, taskQueue, manual)).result();

    expect(report).toMatchObject({ phase: 'done', remaining: [entry('clean-canal')] });
    expect(cluster.calls.filter((call) => call === 'ledger after')).toHaveLength(1);
  });
  expect(cluster.system).toMatchObject({ helpers: true, unfinished: { onlyNodes: true } });
  expect(cluster.broken).toEqual([]);
});

it('a cutover continues without a skipped node, whose agent is restarted before Canal is removed', async () => {
  const { cluster, bringBack } = clusterWithLostNode({ kind: 'switched off', at: 'removeIdentityBridge' });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, manual);
    await skip(run);
    const { remaining } = await waitForPendingWait(run, 'approval of the cleanup');
    expect(remaining).toEqual([entry('restart-agent')]);
    expect(cluster.calls).not.toContain('restartOutdatedAgent b');
    bringBack();

    await run.signal(signal('approve'), { cleanup: true });

    expect((await run.result()).remaining).toBeUndefined();
    const order = ['restartOutdatedAgent b', 'verifyBeforeRemoval', 'removeCanal', 'cleanHost b'];
    const positions = order.map((call) => cluster.calls.indexOf(call));
    expect(positions).toEqual([...positions].sort((a, b) => a - b));
    expect(positions).not.toContain(-1);
  });
  expect(cluster.broken).toEqual([]);
});

it('a node that is skipped in the cutover and stays away does not hold up the cleanup', async () => {
  const { cluster } = clusterWithLostNode({ kind: 'switched off', at: 'removeIdentityBridge' });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    await skip(run);

    expect(await run.result()).toMatchObject({ phase: 'done', remaining: [entry('restart-agent', 'clean-canal')] });
  });
  expect(cluster.system).toMatchObject({ canal: false, helpers: true });
  expect(cluster.broken).toEqual([]);
});

it('a rollback of all nodes forgets what the cutover has left to do', async () => {
  const { cluster, bringBack } = clusterWithLostNode({ kind: 'switched off', at: 'removeIdentityBridge' });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, manual);
    await skip(run);
    await waitForPendingWait(run, 'approval of the cleanup');
    await run.signal(signal('rollback'), { all: true });
    await waitForPendingWait(run, 'a decision about b, which is not Ready');
    expect(await send(run, 'skip', { node: 'b' })).toBe('no: the migration does not wait for b');
    bringBack();

    const report = await run.result();

    expect(report).toMatchObject({ phase: 'rolled-back' });
    expect(report.remaining).toBeUndefined();
    expect(report.notes).toContain('b: it returns to Canal');
  });
  expect(cluster.system).toMatchObject({ helpers: false, unfinished: undefined });
  expect(cluster.broken).toEqual([]);
});

it('the removal of Canal starts while a migrated node is switched off, and the node is cleaned when it is back', async () => {
  const { cluster, lose, bringBack } = clusterWithLostNode();
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, manual);
    await waitForPendingWait(run, 'approval of the cleanup');
    lose('switched off');
    await run.signal(signal('approve'), { cleanup: true });

    const { remaining } = await waitForPendingWait(run, 'a decision about b, which is not Ready');

    expect(remaining).toMatchObject([{ node: 'b', work: ['restart-agent', 'clean-canal'] }]);
    expect(cluster.system.canal).toBe(false);
    bringBack();
    expect((await run.result()).remaining).toBeUndefined();
    expect(cluster.calls.lastIndexOf('restartOutdatedAgent b')).toBeGreaterThan(cluster.calls.indexOf('removeCanal'));
    expect(cluster.calls).toContain('cleanHost b');
  });
  expect(cluster.broken).toEqual([]);
});

describe('a rollback of all nodes that has ended without a node', () => {
  /** Rolls back, and ends without the node. */
  async function rollBackWithoutNode(client: Client, taskQueue: string): Promise<void> {
    const run = await startRun(client, taskQueue, manual);
    await waitForPendingWait(run, 'approval of the cleanup');
    await run.signal(signal('rollback'), { all: true });
    await skip(run);
    expect(await run.result()).toMatchObject({ phase: 'rolled-back', remaining: [entry('clean-cilium')] });
  }
  const inRollback = { kind: 'switched off', at: 'exportCilium' } as const;

  it('is finished by the next run, which then continues with its own migration', async () => {
    const { cluster, bringBack } = clusterWithLostNode(inRollback);
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      await rollBackWithoutNode(client, taskQueue);
      expect(cluster.system).toMatchObject({ canal: true, installed: false, helpers: true });
      bringBack();
      const callsBefore = cluster.calls.length;

      const run = await startRun(client, taskQueue, { ...unattendedRequest, approval: 'every-node' });

      expect((await waitForPendingWait(run, 'approval of the plan')).remaining).toBeUndefined();
      const calls = cluster.calls.slice(callsBefore);
      expect(calls.filter((call) => call.startsWith('cleanHost'))).toEqual(['cleanHost b']);
      expect(calls.indexOf('removeHelpers')).toBeLessThan(calls.indexOf('runPreflight'));
      expect(cluster.system).toMatchObject({ helpers: false, unfinished: undefined });
      await run.signal(signal('abort'), {});
      await waitFor(() => cluster.system.lock === '');
    });
    expect(cluster.broken).toEqual([]);
  });

  it('keeps the node in mind until the next run installs Cilium again', async () => {
    const { cluster } = clusterWithLostNode(inRollback);
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      await rollBackWithoutNode(client, taskQueue);

      const run = await startRun(client, taskQueue, unattendedRequest);

      const { notes, remaining } = await waitForPendingWait(run, 'a decision about b (not-ready');
      expect(remaining).toBeUndefined();
      expect(notes).toContain('b: Cilium is installed again, so that nothing of it is removed');
      expect(cluster.system.unfinished).toBeUndefined();
      await run.signal(signal('abort'), {});
      await waitFor(() => cluster.system.lock === '');
    });
    expect(cluster.broken).toEqual([]);
  });

  it('changes nothing in a dry run', async () => {
    const { cluster, bringBack } = clusterWithLostNode(inRollback);
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      await rollBackWithoutNode(client, taskQueue);
      bringBack();
      const callsBefore = cluster.calls.length;

      const report = await (await startRun(client, taskQueue, { ...unattendedRequest, dryRun: true })).result();

      expect(report).toMatchObject({ remaining: [entry('clean-cilium')] });
      expect(cluster.calls.slice(callsBefore).filter((call) => /cleanHost|recordUnfinished/.test(call))).toEqual([]);
    });
    expect(cluster.system.unfinished).toBeDefined();
    expect(cluster.broken).toEqual([]);
  });
});

it('a record that cannot be read lets the whole cleanup be repeated', async () => {
  const { cluster } = clusterWithLostNode(inCleanup);
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    await endWithoutNode(client, taskQueue);
    // With the labels, as the fake requires for what is repeated.
    for (const node of cluster.nodes.values()) Object.assign(node, { ready: true, flipped: true });
    cluster.system.unfinished = { onlyNodes: false, nodes: [] };

    const report = await (await startRun(client, taskQueue, manual)).result();

    expect(report).toMatchObject({ phase: 'done' });
    expect(report.notes.join('\n')).toContain('is not readable; what that run did is repeated');
    for (const node of ['a', 'b', 'c'])
      expect(cluster.calls.filter((call) => call === `cleanHost ${node}`).length).toBeGreaterThan(0);
  });
  expect(cluster.system).toMatchObject({ helpers: false, unfinished: undefined });
  expect(cluster.broken).toEqual([]);
});
