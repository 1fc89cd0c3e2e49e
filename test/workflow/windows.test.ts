import type { Client } from '@temporalio/client';
import type { MigrationStatus } from '../../model/status.ts';
import { migrationWorkflowId } from '../../workflows/messages.ts';
import { fakeCluster, permanent } from '../support/fake-cluster.ts';
import { send, waitFor } from '../support/interventions.ts';
import {
  type Run,
  startRun,
  unattendedRequest,
  waitForFailure,
  waitForMigrationStatus,
  waitForPendingWait,
} from '../support/migration-run.ts';
import { skipTime } from '../support/time-skips.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** Steps that disturb the cluster wait for a maintenance window in which they fit, in a rollback too. */
const server = new WorkflowServer({ skipsTime: true });
beforeAll(() => server.start());
afterAll(() => server.stop());

const hourMs = 3_600_000;
const windows = [{ start: '22:00', end: '05:00', timeZone: 'Europe/Berlin' }];
const input = { ...unattendedRequest, cleanup: 'approve', windows };

type FakeOptions = NonNullable<Parameters<typeof fakeCluster>[0]>;

/** A cluster with a maintenance window that the test opens and closes: the next one opens in an hour. */
function withWindow(options: FakeOptions = {}) {
  const cluster = fakeCluster({ nodes: ['a', 'b'], ...options });
  /** Rest of the current window in ms; 0 while none is open. */
  const window = { restMs: 0 };
  cluster.activities.untilFit = ({ durationMs }) => {
    const { restMs } = window;
    const isOpen = restMs > 0;
    // The fake's nodes take less than a second: nothing fits into a millisecond, also when 0 s were measured.
    const fits = restMs > 1 && restMs >= durationMs;
    return Promise.resolve(fits ? { waitMs: 0 } : { waitMs: hourMs, ...(isOpen && { isRestTooShort: true as const }) });
  };
  return { cluster, window };
}

/** Waits until a step waits for a window. */
function waitForWindow(run: Run, step: string): Promise<MigrationStatus> {
  return waitForMigrationStatus(
    run,
    ({ waiting, waitingFor }) => waiting?.kind === 'window' && waitingFor?.includes(`, for ${step} (about `) === true
  );
}

/** Opens a window of a length, at the end of the current wait. */
async function open(run: Run, window: { restMs: number }, restMs = 24 * hourMs): Promise<void> {
  window.restMs = restMs;
  await skipTime(run, hourMs);
}

/** Starts a migration, and waits until it is at the approval of the cleanup, with no window open. */
async function startMigrated(client: Client, queue: string, window: { restMs: number }): Promise<Run> {
  window.restMs = 24 * hourMs;
  const run = await startRun(client, queue, input);
  await waitForPendingWait(run, 'approval of the cleanup');
  window.restMs = 0;
  return run;
}

it('waits for a window in which each step fits, and names the step, its duration and what can be sent', async () => {
  /** First activity of the step that may start: the window closes with it. */
  let first = '';
  const { cluster, window } = withWindow({
    before: (activity, node) => {
      if (first === (node === undefined ? activity : `${activity} ${node}`)) window.restMs = 0;
    },
  });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { ...input, cleanup: 'automatic' });
    for (const [step, activity] of [
      ['the installation of Cilium', 'letCanalOnAllNodes'],
      ['wave 1', 'cordonNode a'],
      ['wave 2', 'cordonNode b'],
      ['the cutover', 'keepCanalOffNewNodes'],
      ['the next agents of the cutover', 'restartOutdatedAgent b'],
      ['the next agents of the cutover', 'removeNodeConfig'],
      ['the removal of Canal', 'removeCanal'],
    ] as const) {
      first = activity;
      const { waiting } = await waitForWindow(run, step);
      expect(waiting?.answers.map(({ message }) => message)).toEqual(['abort', 'rollback']);

      await open(run, window, 1);

      const { waitingFor } = await waitForWindow(run, step);
      expect(waitingFor).toMatch(/^the maintenance window that opens at \S+:00\.000Z, for /);
      expect(waitingFor).toContain('; the rest of the current window is too short');
      expect(cluster.calls).not.toContain(first);
      await open(run, window);
      await waitFor(() => cluster.calls.includes(activity));
    }
    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
  expect(cluster.broken).toEqual([]);
});

it('starts a step that is longer than every window, and says so in the plan and in a note', async () => {
  const { cluster } = withWindow();
  cluster.activities.untilFit = ({ durationMs }) =>
    Promise.resolve({ waitMs: 0, ...(durationMs > 1_000 && { longestMs: 1_000 }) });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { ...input, approval: 'canary-only' });
    await waitForPendingWait(run, 'approval of the plan');
    const plan = await run.query<{ longerThanWindows?: { step: string; windowSeconds: number }[] }>('plan');
    expect(plan.longerThanWindows?.map(({ step }) => step)).toEqual([
      ...['the installation of Cilium', 'wave 1', 'wave 2', 'the cutover', 'the removal of Canal'],
    ]);
    expect(plan.longerThanWindows?.[0]).toMatchObject({ windowSeconds: 1 });

    await send(run, 'approve', { plan: true });

    const { notes } = await waitForPendingWait(run, 'approval of wave 1');
    expect(notes.filter((note) => note.includes('longer than every maintenance window'))).toEqual([
      expect.stringMatching(/^the installation of Cilium takes about .* \(at most 1 s\)/) as string,
    ]);
    await run.terminate();
  });
});

describe('a rollback of all nodes', () => {
  it('waits for a window before its first change', async () => {
    const { cluster, window } = withWindow();
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startMigrated(client, taskQueue, window);
      const before = cluster.calls.length;

      const answer = await send(run, 'rollback', { all: true, by: 'ann' });

      expect(answer).toBe(
        'rollback of all nodes requested; it starts in a maintenance window: add "outsideWindows": true to start it at once'
      );
      const { waiting, phase } = await waitForWindow(run, 'the rollback of all nodes');
      expect(phase).toBe('rolling-back');
      expect(waiting?.answers.map(({ message, input }) => [message, input])).toEqual([
        ['rollback', { all: true, outsideWindows: true }],
        ['abort', {}],
      ]);
      expect(await send(run, 'pause')).toContain('no: a rollback is in progress, and waits for a maintenance window');
      expect(new Set(cluster.calls.slice(before))).toEqual(new Set(['observeNodes']));
      await open(run, window);
      expect(await run.result()).toMatchObject({ phase: 'rolled-back' });
    });
    expect(cluster.system.rollbackBegun).toBeUndefined();
    expect(cluster.broken).toEqual([]);
  });

  it.each(['in the message', 'in a second message'])('starts outside of windows on request %s', async (when) => {
    const { cluster, window } = withWindow();
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startMigrated(client, taskQueue, window);
      if (when !== 'in the message') {
        await send(run, 'rollback', { all: true });
        await waitForWindow(run, 'the rollback of all nodes');
      }

      await send(run, 'rollback', { all: true, outsideWindows: true });

      expect(await run.result()).toMatchObject({ phase: 'rolled-back' });
    });
    expect(cluster.broken).toEqual([]);
  });

  it('ends without a change when it is aborted while it waits', async () => {
    const { cluster, window } = withWindow();
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startMigrated(client, taskQueue, window);
      await send(run, 'rollback', { all: true });
      await waitForWindow(run, 'the rollback of all nodes');

      const answer = await send(run, 'abort', { by: 'ann', reason: 'it works again' });

      expect(answer).toContain('abort requested: the rollback ends');
      const failure = await waitForFailure(run);
      expect(failure).toMatchObject({ type: 'Aborted' });
      expect(failure.message).toContain('aborted by ann (it works again) in the phase rolling-back');
    });
    expect(cluster.calls).not.toContain('recordRollback');
    expect(cluster.system).toMatchObject({ ciliumOwnsCni: true, lock: '' });
  });

  it.each([
    ['is completed', 'rollback', { all: true, outsideWindows: true }, 'rolled-back'],
    ['is followed by a migration', 'resume', {}, 'done'],
  ] as const)('continues in the next window, and a later run asks whether it %s', async (_, name, message, phase) => {
    const { cluster, window } = withWindow({
      before: (activity, node) => {
        // The window closes in the rollback of the first node.
        if (activity === 'restoreSourceCni' && node === 'b') window.restMs = 0;
      },
    });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const first = await startMigrated(client, taskQueue, window);
      await send(first, 'rollback', { all: true, by: 'ann' });
      await waitForWindow(first, 'the rollback of all nodes');
      await open(first, window);
      await waitForWindow(first, 'the rollback of a');
      expect(cluster.nodes.get('b')).toMatchObject({ pods: 'canal', cordoned: false });
      await send(first, 'abort');
      expect(await waitForFailure(first)).toMatchObject({ type: 'Aborted' });
      expect(cluster.system.rollbackBegun).toMatchObject({ by: 'ann' });
      expect(cluster.nodes.get('a')).toMatchObject({ pods: 'cilium', cordoned: false });

      window.restMs = 24 * hourMs;
      const second = await startRun(client, taskQueue, { ...input, cleanup: 'automatic' });

      const { waiting, paused } = await waitForPendingWait(second, 'resume');
      expect(paused?.reason).toMatch(
        /^an earlier run began to roll back all nodes at \S+, as requested by ann, and did not/
      );
      expect(waiting?.answers.map(({ message }) => message)).toEqual(['resume', 'abort', 'rollback']);
      await send(second, name, message);
      expect(await second.result()).toMatchObject({ phase });
    });
    expect(cluster.system.rollbackBegun).toBeUndefined();
    expect(cluster.calls.includes('removeRollbackRecord')).toBe(phase === 'done');
    expect(cluster.broken).toEqual([]);
  });

  it('needs no answer in a run whose first message it is', async () => {
    const { cluster, window } = withWindow();
    cluster.system.rollbackBegun = { by: 'ann', reason: '', at: '2026-01-01T00:00:00.000Z' };
    window.restMs = 24 * hourMs;
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await client.workflow.signalWithStart('clusterMigration', {
        ...{ taskQueue, workflowId: migrationWorkflowId('prod'), args: [input] },
        ...{ signal: 'rollback', signalArgs: [{ all: true }] },
      });
      expect(await run.result()).toMatchObject({ phase: 'rolled-back' });
    });
    expect(cluster.broken).toEqual([]);
  });
});

describe('a rollback of a node', () => {
  /** Starts a migration that has migrated a, and waits for the window of the wave of b. */
  async function startWithMigrated(client: Client, queue: string, window: { restMs: number }): Promise<Run> {
    window.restMs = 24 * hourMs;
    const run = await startRun(client, queue, { ...input, approval: 'every-wave' });
    await waitForPendingWait(run, 'approval of the plan');
    await send(run, 'approve', { plan: true });
    await send(run, 'approve', { wave: 1 });
    await waitForPendingWait(run, 'approval of wave 2');
    window.restMs = 0;
    return run;
  }

  it('that works waits for a window', async () => {
    const { cluster, window } = withWindow();
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startWithMigrated(client, taskQueue, window);

      await send(run, 'rollback', { node: 'a' });

      const { waiting } = await waitForWindow(run, 'the rollback of a');
      expect(waiting?.answers[0]).toMatchObject({ message: 'rollback', input: { node: 'a', outsideWindows: true } });
      expect(cluster.calls).not.toContain('revertNodeFlip a');
      await open(run, window);
      await waitForMigrationStatus(run, ({ nodes }) => nodes[0]?.state === 'rolled-back');
      await run.terminate();
    });
    expect(cluster.broken).toEqual([]);
  });

  it('starts outside of windows on request', async () => {
    const { cluster, window } = withWindow();
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startWithMigrated(client, taskQueue, window);
      await send(run, 'rollback', { node: 'a' });
      await waitForWindow(run, 'the rollback of a');

      await send(run, 'rollback', { node: 'a', outsideWindows: true });

      await waitForMigrationStatus(run, ({ nodes }) => nodes[0]?.state === 'rolled-back');
      await run.terminate();
    });
    expect(cluster.broken).toEqual([]);
  });

  it('that has failed starts at once', async () => {
    const { cluster, window } = withWindow({
      before: (activity, node) => {
        if (activity !== 'verify cilium' || node !== 'a') return;
        window.restMs = 0;
        throw permanent('VerificationFailed', 'no DNS');
      },
    });
    window.restMs = 24 * hourMs;
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, input);
      await waitForPendingWait(run, 'a decision about a');

      expect(await send(run, 'rollback', { node: 'a' })).toBe('rollback of a requested');

      await waitForMigrationStatus(run, ({ nodes }) => nodes[0]?.state === 'rolled-back');
      await run.terminate();
    });
    expect(cluster.broken).toEqual([]);
  });
});
