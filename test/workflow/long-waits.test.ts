import { ApplicationFailure } from '@temporalio/common';
import { planQuery, signal, statusQuery } from '../../workflows/messages.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import { approvePlan, failureOf, startRun, untilStatus, untilWaiting } from '../support/migration-run.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/**
 * The stand-in that skips time loses a task now and then, and with it the run that it was for: a wait that never ends, in one
 * of some four runs of this file. What fails for a reason of ours fails every time. A server in which a run is lost goes on
 * skipping time for it: each test has its own.
 */
jest.retryTimes(4, { logErrorsBeforeRetry: true });
jest.setTimeout(60_000);

const server = new WorkflowServer('time-skipping');
beforeEach(() => server.start());
afterEach(() => server.stop());

const alone = { cluster: 'prod', approval: 'none', cleanUp: 'automatic' };
const perNode = { cluster: 'prod', cleanUp: 'automatic' };

it('waits for the plan and for every node, for days if need be, and keeps who said yes', async () => {
  const cluster = fakeCluster({ nodes: ['a', 'b'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, perNode);
    await server.env.sleep('3 days');
    expect(await run.query(statusQuery)).toMatchObject({
      phase: 'plan',
      waitingFor: expect.stringContaining('plan') as string,
    });
    expect(await run.query(planQuery)).toMatchObject({
      waves: [
        { nodes: ['a'], reason: 'canary' },
        { nodes: ['b'], reason: 'workers, by name' },
      ],
      target: { podCidr: '10.245.0.0/16' },
    });
    expect(cluster.calls).not.toContain('applyHelmRelease');
    await approvePlan(run);
    await untilWaiting(run, 'approval of node a');
    await server.env.sleep('3 days');
    expect(await run.query(statusQuery)).toMatchObject({ phase: 'migrate', waitingFor: 'approval of node a' });
    expect(cluster.calls).not.toContain('cordonNode a');
    await run.signal(signal('approve'), { node: 'a', approver: 'ann', reason: 'window' });
    const status = await untilWaiting(run, 'approval of node b');
    expect(status).toMatchObject({
      waitingFor: 'approval of node b',
      waiting: { answers: [{ does: 'let b be migrated', message: 'approve', input: { node: 'b' } }] },
    });
    expect(status.nodes).toMatchObject([
      { name: 'a', state: 'migrated', approval: { by: 'ann', reason: 'window' } },
      { name: 'b', state: 'awaiting-approval' },
    ]);
    expect(cluster.calls).not.toContain('cordonNode b');
    await run.signal(signal('approve'), { node: 'b' });
    expect((await run.result()).nodes[1]).toMatchObject({ approval: { by: 'unnamed' } });
    expect(await run.query(statusQuery)).toMatchObject({ phase: 'done', approvals: { plan: { by: 'ann' } } });
  });
});

it('costs little history while it waits, and calls to mind', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, perNode);
    await untilWaiting(run, 'approval of the plan');
    const length = async (): Promise<number> => Number((await run.describe()).historyLength);
    const before = await length();
    await server.env.sleep('10 days');
    expect((await run.query(statusQuery)).waiting?.reminders).toBeGreaterThanOrEqual(9);
    expect((await length()) - before).toBeLessThanOrEqual(10 * 7);
    await run.terminate();
  });
});

it('pauses, rather than fails, when an approval is not given in time; and goes on when it is resumed', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { ...perNode, approvalDeadlineSeconds: 3_600 });
    await approvePlan(run);
    // Not before: time that is skipped while it still works is not part of the wait.
    await untilWaiting(run, 'approval of node a');
    await server.env.sleep('2 hours');
    const paused = await untilWaiting(run, 'somebody to resume it');
    expect(paused.paused).toMatchObject({ by: 'cni-live-migration' });
    expect(paused.paused?.reason).toContain('approval of node a was not given in 3600 s');
    await run.signal(signal('resume'), { by: 'ann' });
    await untilWaiting(run, 'approval of node a');
    await run.signal(signal('approve'), { node: 'a' });
    // Without skipping: the stand-in may sleep on when it is to skip time and a message comes.
    await untilStatus(run, ({ phase }) => phase === 'done');
    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
});

it('outlasts an API server that is down in the middle of a migration', async () => {
  let down = 0;
  const cluster = fakeCluster({
    nodes: ['a'],
    before: (activity) => {
      // These two give up sooner: the next test.
      if (activity === 'inspectCluster' || activity === 'applyHelmRelease' || down >= 200) return;
      down++;
      throw ApplicationFailure.retryable('connect ECONNREFUSED', 'ClusterUnreachable');
    },
  });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    expect(await (await startRun(client, taskQueue, alone)).result()).toMatchObject({ phase: 'done' });
  });
  expect(down).toBe(200);
});

it.each([
  ['inspectCluster', 'ClusterUnreachable', 5],
  ['applyHelmRelease', 'HelmFailed', 8],
])('gives up on %s after some attempts, with the reason', async (failing, type, expected) => {
  let attempts = 0;
  const cluster = fakeCluster({
    before: (activity) => {
      if (activity !== failing) return;
      attempts++;
      throw ApplicationFailure.retryable('the reason', type);
    },
  });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const failure = await failureOf(await startRun(client, taskQueue, alone));
    expect(failure).toMatchObject({ type, message: 'the reason' });
  });
  expect(attempts).toBe(expected);
  expect(cluster.system.lock).toBe('');
});
