import { WorkflowFailedError } from '@temporalio/client';
import { statusQuery } from '../../workflows/messages.ts';
import type { Phase } from '../../model/status.ts';
import { fakeCluster, permanent } from '../support/fake-cluster.ts';
import { hold, send, waitFor, type Hold } from '../support/interventions.ts';
import {
  startRun,
  unattendedRequest,
  waitForFailure,
  waitForMigrationStatus,
  waitForPendingWait,
  type Run,
} from '../support/migration-run.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** Messages that interrupt a migration, while an activity of each phase is running. */
const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

type Cluster = ReturnType<typeof fakeCluster>;

/** An activity of each phase, or of a part of it. */
interface Step {
  phase: Phase;
  name: string;
  /** A call that a pause during it keeps from starting. */
  next: string;
}

const steps: readonly Step[] = [
  { phase: 'preflight', name: 'runPreflight', next: 'planDetails' },
  { phase: 'plan', name: 'planDetails', next: 'deployProbers' },
  { phase: 'coexistence', name: 'ledger before', next: 'applyCniChain' },
  { phase: 'coexistence', name: 'waitForAgents', next: 'cordonNode a' },
  { phase: 'migrate', name: 'drain to cilium b', next: 'cordonNode c' },
  { phase: 'cutover', name: 'requireAllPodsOnTarget', next: 'removeIdentityBridge' },
  { phase: 'cutover', name: 'removeIdentityBridge', next: 'restartOutdatedAgent a' },
  { phase: 'cutover', name: 'restartOutdatedAgent a', next: 'restartOutdatedAgent b' },
  { phase: 'cutover', name: 'restartOutdatedAgent c', next: 'removeNodeConfig' },
  { phase: 'cutover', name: 'removeNodeConfig', next: 'exportCalico' },
  { phase: 'cleanup', name: 'exportCalico', next: 'recordPointOfNoReturn' },
];

/** Starts a migration, and sends a message while a step is running. */
async function interruptAt(
  { phase, name }: Step,
  interrupt: (run: Run, step: Hold, cluster: Cluster) => Promise<void>
): Promise<Cluster> {
  const step = hold(name);
  const cluster = fakeCluster({ before: step.before });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    await step.waitUntilReached();
    expect((await run.query(statusQuery)).phase).toBe(phase);
    await interrupt(run, step, cluster);
  });
  expect(cluster.broken).toEqual([]);
  expect(cluster.cordoned()).toEqual([]);
  expect(cluster.system.lock).toBe('');
  return cluster;
}

describe.each(steps)('in the phase $phase, during $name,', (step) => {
  it('an abort ends the migration', async () => {
    await interruptAt(step, async (run) => {
      expect(await send(run, 'abort', { by: 'ann' })).toContain('abort requested');

      const failure = await waitForFailure(run);

      expect(failure).toMatchObject({ type: 'Aborted' });
      expect(failure.message).toMatch(new RegExp(`^aborted by ann in the phase ${step.phase}; \\d of \\d nodes`));
    });
  });

  it('a rollback of all nodes leaves nothing of Cilium', async () => {
    const cluster = await interruptAt(step, async (run) => {
      expect(await send(run, 'rollback', { all: true })).toBe('rollback of all nodes requested');

      expect(await run.result()).toMatchObject({ phase: 'rolled-back' });
    });

    expect(cluster.system).toMatchObject({ canal: true, installed: false, ciliumOwnsCni: false, helpers: false });
    for (const node of cluster.nodes.values())
      expect(node).toMatchObject({ flipped: false, pods: 'canal', cni: 'canal' });
  });

  it('a cancellation ends the run', async () => {
    await interruptAt(step, async (run) => {
      await run.cancel();

      const error: unknown = await run.result().catch((thrown: unknown) => thrown);

      expect(error).toBeInstanceOf(WorkflowFailedError);
      expect((await run.describe()).status.name).toBe('CANCELLED');
    });
  });

  it('a pause starts nothing new until the migration is resumed', async () => {
    await interruptAt(step, async (run, { release }, cluster) => {
      if (step.phase !== 'migrate') {
        const refusal = 'no: a single node can only be rolled back';
        expect(await send(run, 'rollback', { node: 'a' })).toContain(refusal);
      }
      expect(await send(run, 'pause', { by: 'ann' })).toContain('paused');
      release();
      await waitForPendingWait(run, 'resume (paused by ann)');
      expect(cluster.calls).not.toContain(step.next);
      const calls = cluster.calls.length;

      expect(await send(run, 'setMaxConcurrency', { maxConcurrency: 2 })).not.toContain('paused');

      expect(cluster.calls.length).toBe(calls);
      expect(await send(run, 'resume')).toBe('resumed');
      expect(await run.result()).toMatchObject({ phase: 'done' });
    });
  });
});

it.each(steps.filter(({ phase }) => phase === 'migrate'))(
  'a rollback of one node during $name is executed',
  async (step) => {
    await interruptAt(step, async (run, { release }, cluster) => {
      expect(await send(run, 'rollback', { node: 'a' })).toBe('rollback of a requested');
      release();
      await waitForMigrationStatus(run, ({ nodes }) => nodes[0]?.state === 'rolled-back');
      expect(cluster.nodes.get('a')).toMatchObject({ flipped: false, pods: 'canal', cni: 'canal' });
      await waitForPendingWait(run, 'a decision about a (rolled-back)');
      expect(await send(run, 'retry', { node: 'a' })).toBe('a will be retried');
      expect(await run.result()).toMatchObject({ phase: 'done' });
    });
  }
);

it('refuses to interrupt a rollback of all nodes, but a cancellation ends it after the current nodes', async () => {
  const rollback = hold('drain to canal b');
  const cluster = fakeCluster({ before: rollback.before });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { ...unattendedRequest, cleanup: 'approve' });
    await waitForPendingWait(run, 'approval of the cleanup');
    await send(run, 'rollback', { all: true });
    await rollback.waitUntilReached();

    for (const name of ['abort', 'pause'] as const) expect(await send(run, name)).toBe('no: a rollback is in progress');
    expect(await send(run, 'rollback', { all: true })).toBe('no: a rollback is in progress');
    await run.cancel();
    rollback.release();

    await expect(run.result()).rejects.toThrow(WorkflowFailedError);
  });
  expect(cluster.nodes.get('b')).toMatchObject({ flipped: false, pods: 'canal', cordoned: false });
  expect(cluster.calls.at(-1)).toBe('releaseLock');
  expect(cluster.calls).not.toContain('uninstallCilium');
  expect(cluster.broken).toEqual([]);
});

it('ends a cancelled run only after every node of its wave is restored, and releases the lock last', async () => {
  const names = ['b', 'c', 'd'];
  const drains = names.map((name) => hold(`drain to cilium ${name}`));
  const restoration = hold('uncordonNode c');
  const cluster = fakeCluster({
    nodes: ['a', ...names],
    before: async (...call) => {
      for (const { before } of [...drains, ...(call[1] === 'c' ? [restoration] : [])]) await before(...call);
    },
  });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { ...unattendedRequest, waves: { maxConcurrency: 3 } });
    for (const drain of drains) await drain.waitUntilReached();
    await run.cancel();
    await restoration.waitUntilReached();
    await waitFor(() => cluster.calls.includes('uncordonNode b') && cluster.calls.includes('uncordonNode d'));
    await waitForMigrationStatus(
      run,
      ({ nodes }) => nodes[1]?.state === 'rolled-back' && nodes[3]?.state === 'rolled-back'
    );

    const { status } = await run.describe();
    const lockWhileRestoring = cluster.system.lock;
    const answer = await send(run, 'rollback', { all: true });
    restoration.release();

    expect({ status: status.name, lockWhileRestoring }).toEqual({
      status: 'RUNNING',
      lockWhileRestoring: run.workflowId,
    });
    expect(answer).toBe('no: the run is cancelled');
    await expect(run.result()).rejects.toThrow(WorkflowFailedError);
  });
  expect(cluster.cordoned()).toEqual([]);
  expect(cluster.calls.slice(-2)).toEqual(['uncordonNode c', 'releaseLock']);
  expect(cluster.broken).toEqual([]);
});

describe('an agent that fails in the cutover', () => {
  /** Returns a cluster in which node b fails its verification in the cutover until it is repaired. */
  function withFailingAgent() {
    let isBroken = true;
    const cluster: Cluster = fakeCluster({
      nodes: ['a', 'b', 'c'],
      before: (activity, node) => {
        if (isBroken && cluster.system.ciliumOwnsCni && activity === 'verify cilium' && node === 'b')
          throw permanent('VerificationFailed', 'no DNS');
      },
    });
    return { cluster, repair: () => (isBroken = false) };
  }

  it('pauses the migration, which continues when it is resumed', async () => {
    const { cluster, repair } = withFailingAgent();
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, unattendedRequest);
      const { phase, paused, waiting } = await waitForPendingWait(run, 'resume');
      expect(phase).toBe('cutover');
      expect(paused?.reason).toBe('cutover failed (VerificationFailed): no DNS. Repair the cause, then resume');
      expect(waiting?.answers.map(({ message }) => message)).toEqual(['resume', 'abort', 'rollback']);

      repair();
      await send(run, 'resume');

      expect(await run.result()).toMatchObject({ phase: 'done' });
    });
    expect(cluster.calls.filter((call) => call === 'cutover values')).toHaveLength(1);
    expect(cluster.broken).toEqual([]);
  });

  it('can be answered with a rollback of all nodes', async () => {
    const { cluster } = withFailingAgent();
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, unattendedRequest);
      await waitForPendingWait(run, 'resume');

      expect(await send(run, 'rollback', { all: true })).toBe('rollback of all nodes requested');

      expect(await run.result()).toMatchObject({ phase: 'rolled-back' });
    });
    expect(cluster.system).toMatchObject({ canal: true, installed: false, ciliumOwnsCni: false });
    expect(cluster.broken).toEqual([]);
  });
});

describe('a rejection while the migration is paused', () => {
  it.each([
    ['plan', { plan: true }, 'nothing was changed'],
    ['cleanup', { cleanup: true }, 'Cilium owns every pod, and Canal stays installed'],
  ])('of the %s ends it at once', async (phase, message, consequence) => {
    const cluster = fakeCluster({ nodes: ['a'] });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const input = {
        ...unattendedRequest,
        ...(phase === 'plan' ? { approval: 'every-wave' } : { cleanup: 'approve' }),
      };
      const run = await startRun(client, taskQueue, input);
      await waitForPendingWait(run, `approval of the ${phase}`);
      await send(run, 'pause');
      await waitForPendingWait(run, 'resume');

      expect(await send(run, 'reject', { ...message, by: 'ann' })).toContain('is rejected');

      const failure = await waitForFailure(run);
      expect(failure).toMatchObject({ type: 'Rejected', message: `the ${phase} was rejected by ann; ${consequence}` });
    });
    expect(cluster.system).toMatchObject({ canal: true, lock: '' });
  });

  it('counts although nobody was asked', async () => {
    const gates = hold('removeNodeConfig');
    const cluster = fakeCluster({ nodes: ['a'], before: gates.before });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, unattendedRequest);
      await gates.waitUntilReached();
      await send(run, 'pause');
      gates.release();
      await waitForMigrationStatus(run, ({ phase, waitingFor }) => phase === 'cleanup' && waitingFor !== undefined);

      expect(await send(run, 'reject', { cleanup: true })).toBe('the cleanup is rejected; the migration will end');

      expect(await waitForFailure(run)).toMatchObject({ type: 'Rejected' });
    });
    expect(cluster.system.canal).toBe(true);
  });
});

it('ends a dry run that is aborted, and reports a rollback that came with its start', async () => {
  const running = hold('dryRunNode a');
  const cluster = fakeCluster({ nodes: ['a', 'b'], before: running.before });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { ...unattendedRequest, dryRun: true });
    await run.signal('rollback', { all: true });
    await running.waitUntilReached();

    expect(await send(run, 'abort', { by: 'ann' })).toContain('abort requested');

    expect(await waitForFailure(run)).toMatchObject({ type: 'Aborted' });
    expect((await run.query(statusQuery)).notes.join('\n')).toContain('rollback was ignored: a dry run');
  });
  expect(cluster.calls).not.toContain('dryRunNode b');
  expect(cluster.calls.filter((call) => /^(apply|deploy|uninstall|cordon)/.test(call))).toEqual([]);
  expect(cluster.system.lock).toBe('');
});
