import { statusQuery } from '../../workflows/messages.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import { lengthenHistory, send, waitFor } from '../support/interventions.ts';
import {
  approveCutover,
  approvePlan,
  type Run,
  startRun,
  unattendedRequest,
  waitForMigrationStatus,
  waitForPendingWait,
} from '../support/migration-run.ts';
import { skipTime } from '../support/time-skips.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** A wait ends for its own reason, and for no other. */
const server = new WorkflowServer({ skipsTime: true });
beforeAll(() => server.start());
afterAll(() => server.stop());

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;

/** Lengthens the history of a run that waits. @returns the next run, once it waits in its turn. */
async function continueAsNew(run: Run, historyLimit: number): Promise<Run> {
  const { runId } = await run.describe();
  await lengthenHistory(run, historyLimit);
  const next = server.env.client.workflow.getHandle(run.workflowId) as Run;
  await waitFor(async () => (await next.describe()).runId !== runId);
  // Until its wait has begun, the status is that of the run before.
  await waitFor(async () => {
    const { events } = await next.fetchHistory();
    return events?.some(({ timerStartedEventAttributes: timer }) => timer != null) === true;
  });
  return next;
}

describe('a soak', () => {
  const soak = 'the end of the soak of wave 1';
  const input = { ...unattendedRequest, waves: { soakSeconds: 86_400 } };

  it('is not ended by any message', async () => {
    const cluster = fakeCluster({ nodes: ['a', 'b', 'c'] });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, input);
      const before = await waitForPendingWait(run, soak);

      const answers = [
        await send(run, 'setMaxConcurrency', { maxConcurrency: 2 }),
        await send(run, 'approve', { wave: 2 }),
        await send(run, 'approve', { node: 'b' }),
        await send(run, 'forcePod', { pod: 'shop/web-1' }),
        await send(run, 'skip', { node: 'c' }),
        await send(run, 'retry', { node: 'c' }),
        await send(run, 'pause'),
        await send(run, 'resume'),
      ];

      expect(answers.filter((answer) => answer.startsWith('no: '))).toEqual([]);
      const after = await waitForPendingWait(run, soak);
      expect(after.waiting?.deadline).toBe(before.waiting?.deadline);
      await skipTime(run, dayMs - 5 * minuteMs);
      await waitForPendingWait(run, soak);
      expect(cluster.calls).not.toContain('cordonNode b');
      await skipTime(run, 5 * minuteMs);
      expect(await run.result()).toMatchObject({ phase: 'done', waves: 2 });
    });
    expect(cluster.broken).toEqual([]);
  });

  it('lasts when the run continues as new', async () => {
    const historyLimit = 300;
    const cluster = fakeCluster({ nodes: ['a', 'b'] });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const first = await startRun(client, taskQueue, input, { historyLimit });
      const before = await waitForPendingWait(first, soak);
      const run = await continueAsNew(first, historyLimit);

      const after = await waitForPendingWait(run, soak);

      expect(after.waiting?.deadline).toBe(before.waiting?.deadline);
      expect(cluster.calls).not.toContain('cordonNode b');
      await skipTime(run, dayMs);
      expect(await run.result()).toMatchObject({ phase: 'done' });
    });
    expect(cluster.broken).toEqual([]);
  });
});

describe('the deadline of an approval', () => {
  const input = {
    ...{ cluster: 'prod', cleanup: 'automatic', waves: { maxConcurrency: 3 } },
    approvalDeadlineSeconds: 3_600,
  };

  it('is not moved by approvals of other nodes of the wave, nor by other messages', async () => {
    const cluster = fakeCluster({ nodes: ['a', 'b', 'c', 'd'] });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, input);
      await approvePlan(run);
      await waitForPendingWait(run, 'approval of node a');
      await send(run, 'approve', { node: 'a' });
      const { waiting } = await waitForPendingWait(run, 'approval of node b, c, d');
      expect(await skipTime(run, 30 * minuteMs)).toBe(0);

      await send(run, 'approve', { node: 'b' });
      await send(run, 'forcePod', { pod: 'shop/web-1' });

      const partly = await waitForPendingWait(run, 'approval of node c, d');
      expect(partly.waiting).toMatchObject({ since: waiting?.since, deadline: waiting?.deadline });
      expect(await skipTime(run, 29 * minuteMs)).toBe(0);
      expect(await skipTime(run, 1 * minuteMs)).toBe(1);
      const { paused } = await waitForPendingWait(run, 'resume');
      expect(paused?.reason).toBe('no approval of node c, d within 3600 s');
      await send(run, 'resume');
      for (const node of ['c', 'd']) await send(run, 'approve', { node });
      await approveCutover(run);
      expect(await run.result()).toMatchObject({ phase: 'done', waves: 2 });
    });
    expect(cluster.broken).toEqual([]);
  });

  it.each([
    ['the plan', () => Promise.resolve(), 'approval of the plan'],
    ['a wave', approvePlan, 'approval of node a'],
  ])('of %s is not moved when the run continues as new', async (_, prepare, wait) => {
    const historyLimit = 200;
    const cluster = fakeCluster({ nodes: ['a'] });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const first = await startRun(client, taskQueue, input, { historyLimit });
      await prepare(first);
      const before = await waitForPendingWait(first, wait);
      const run = await continueAsNew(first, historyLimit);

      const after = await waitForPendingWait(run, wait);

      expect(after.waiting).toMatchObject({ since: before.waiting?.since, deadline: before.waiting?.deadline });
      await run.terminate();
    });
  });
});

it('is not over when a maintenance window opens while the migration is paused', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  const openIn = new Set<string>();
  const phase = (): string => {
    const done = (call: string): boolean => cluster.calls.includes(call);
    if (done('final values')) return 'cleanup';
    if (done('requireAllPodsOnTarget')) return 'cutover';
    return done('deployProbers') ? 'migrate' : 'coexistence';
  };
  cluster.activities.untilFit = () => Promise.resolve({ waitMs: openIn.has(phase()) ? 0 : 60 * minuteMs });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const windows = [{ start: '22:00', end: '05:00', timeZone: 'Europe/Berlin' }];
    const run = await startRun(client, taskQueue, { ...unattendedRequest, windows });
    for (const [current, next] of [
      ['coexistence', 'deployProbers'],
      ['migrate', 'cordonNode a'],
      ['cutover', 'cutover values'],
      ['cleanup', 'exportCalico'],
    ] as const) {
      const isAtWindow = () =>
        waitForMigrationStatus(run, (status) => status.phase === current && status.waiting?.kind === 'window');
      await isAtWindow();
      await send(run, 'pause', { by: 'ann' });
      openIn.add(current);
      await waitForPendingWait(run, 'resume (paused by ann)');
      await skipTime(run, 2 * 60 * minuteMs);
      expect((await run.query(statusQuery)).waitingFor).toBe('resume (paused by ann)');
      expect(cluster.calls).not.toContain(next);

      openIn.delete(current);
      await send(run, 'resume');
      await isAtWindow();
      openIn.add(current);
      await skipTime(run, 60 * minuteMs);
      await waitForMigrationStatus(run, () => cluster.calls.includes(next));
    }
    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
  expect(cluster.broken).toEqual([]);
});
