import { type WorkflowUpdateFailedError } from '@temporalio/client';
import { cancelled, heartbeat } from '@temporalio/activity';
import { nodeQuery, signal, statusQuery, update, blockersQuery } from '../../workflows/messages.ts';
import { messageNames, type MessageName } from '../../model/message-schemas.ts';
import { fakeCluster, permanent } from '../support/fake-cluster.ts';
import {
  approveCutover,
  approvePlan,
  startRun,
  states,
  unattendedRequest,
  waitForFailure,
  waitForMigrationStatus,
  waitForPendingWait,
} from '../support/migration-run.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

const perNode = { cluster: 'prod', cleanup: 'automatic' };

/** Blocks an activity of a node until it is cancelled, when the node is rolled back. */
function blockActivity(step: string, node?: string) {
  let reached = false;
  return {
    reached: () => reached,
    before: async (activity: string, on?: string): Promise<void> => {
      if (activity !== step || on !== node) return;
      reached = true;
      const beat = setInterval(() => heartbeat(), 50);
      await cancelled().finally(() => clearInterval(beat));
    },
  };
}

/** Returns an activity that fails until it is repaired. */
function failActivity(
  step: string,
  node: string
): { repair: () => void; before: (activity: string, on?: string) => void } {
  let broken = true;
  return {
    repair: () => (broken = false),
    before: (activity, on) => {
      if (broken && activity === step && on === node) throw permanent('VerificationFailed', 'DNS over UDP: timeout');
    },
  };
}

it('accepts early approvals of nodes in any order, and drops those of unknown nodes', async () => {
  const cluster = fakeCluster({ nodes: ['a', 'b'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, perNode);
    for (const node of ['b', 'nobody', 'a']) await run.signal(signal('approve'), { node });
    await approvePlan(run);
    await approveCutover(run);
    const { notes } = await run.result();
    expect(notes.join()).toContain('nobody');
  });
});

it('waits for approval of the first wave only, or of every wave', async () => {
  for (const [approval, asked] of [
    ['canary-only', [1]],
    ['every-wave', [1, 2]],
  ] as const) {
    const cluster = fakeCluster({ nodes: ['a', 'b', 'c'] });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, { ...perNode, approval, waves: { maxConcurrency: 2 } });
      await approvePlan(run);
      for (const wave of asked) {
        await waitForPendingWait(run, `approval of wave ${wave}`);
        await run.signal(signal('approve'), { wave, by: 'ann' });
      }
      if (approval === 'every-wave') await approveCutover(run);
      const { nodes } = await run.result();
      expect(nodes.map(({ wave, approval: given }) => [wave, given?.by])).toEqual([
        [1, 'ann'],
        ...[0, 1].map(() => [2, asked.length === 2 ? 'ann' : undefined]),
      ]);
    });
  }
});

it.each([
  ['plan', 'nothing was changed', 'applyHelmRelease'],
  ['cleanup', 'Canal stays installed', 'removeCanal'],
])('ends without changes when the %s is rejected', async (subject, words, never) => {
  const cluster = fakeCluster({ nodes: ['a'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const input = subject === 'plan' ? perNode : { ...unattendedRequest, cleanup: 'approve' };
    const run = await startRun(client, taskQueue, input);
    await waitForPendingWait(run, `approval of the ${subject === 'plan' ? 'plan' : 'cleanup'}`);
    await run.signal(signal('reject'), { [subject]: true, by: 'ann', reason: 'not today' });
    const failure = await waitForFailure(run);
    expect(failure).toMatchObject({ type: 'Rejected' });
    expect(failure.message).toContain('ann (not today)');
    expect(failure.message).toContain(words);
  });
  expect(cluster.calls).not.toContain(never);
  expect(cluster.system.lock).toBe('');
});

it('pauses before the next wave and continues when it is resumed', async () => {
  const cluster = fakeCluster({ nodes: ['a', 'b'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { ...perNode, approval: 'every-wave' });
    await approvePlan(run);
    await waitForPendingWait(run, 'approval of wave 1');
    await run.signal(signal('pause'), { by: 'ann', reason: 'an incident' });
    await run.signal(signal('approve'), { wave: 1 });
    await waitForPendingWait(run, 'resume (paused by ann)');
    expect(cluster.calls).not.toContain('cordonNode a');
    expect((await run.query(statusQuery)).paused).toMatchObject({ by: 'ann', reason: 'an incident' });
    await run.signal(signal('resume'), {});
    await waitForPendingWait(run, 'approval of wave 2');
    expect(cluster.calls).toContain('uncordonNode a');
    await run.terminate();
  });
});

it('skips a node, continues with the others, and waits for a decision about it at the end', async () => {
  const cluster = fakeCluster({ nodes: ['a', 'b', 'c'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, perNode);
    await approvePlan(run);
    await waitForPendingWait(run, 'approval of node a');
    await run.signal(signal('skip'), { node: 'a', by: 'ann', reason: 'hardware' });
    for (const node of ['b', 'c']) await run.signal(signal('approve'), { node });
    const status = await waitForPendingWait(run, 'a decision about a (skipped)');
    expect(states(status)).toEqual(['skipped', 'migrated', 'migrated']);
    expect(status.nodes[0]?.decision).toMatchObject({ by: 'ann', reason: 'hardware' });
    expect(status.waiting?.answers).toContainEqual({ does: 'retry node a', message: 'retry', input: { node: 'a' } });
    expect(cluster.calls).not.toContain('requireAllPodsOnTarget');
    await run.signal(signal('retry'), { node: 'a' });
    await run.signal(signal('approve'), { node: 'a' });
    await approveCutover(run);
    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
});

describe('a node that fails', () => {
  it('blocks everything else, and is retried when an operator requests it', async () => {
    const dns = failActivity('verify cilium', 'a');
    const cluster = fakeCluster(dns);
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, unattendedRequest);
      const status = await waitForPendingWait(run, 'a decision about a (VerificationFailed)');
      expect(status.nodes[0]).toMatchObject({ state: 'failed', failure: { type: 'VerificationFailed' } });
      expect(cluster.calls).not.toContain('cordonNode b');
      expect(cluster.cordoned()).toEqual(['a']);
      dns.repair();
      await run.signal(signal('retry'), { node: 'a', by: 'ann' });
      expect(await run.result()).toMatchObject({ phase: 'done' });
    });
    expect(cluster.cordoned()).toEqual([]);
  });

  it('is rolled back when an operator requests it, and stays so until it is retried', async () => {
    const dns = failActivity('verify cilium', 'a');
    const cluster = fakeCluster({ nodes: ['a', 'b'], ...dns });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, unattendedRequest);
      await waitForPendingWait(run, 'a decision about a');
      expect(await run.executeUpdate(update('rollback'), { args: [{ node: 'a' }] })).toBe('rollback of a requested');
      await waitForPendingWait(run, 'a decision about a (rolled-back)');
      expect(cluster.nodes.get('a')).toMatchObject({ flipped: false, pods: 'canal', cordoned: false });
      expect(cluster.nodes.get('b')).toMatchObject({ pods: 'cilium' });
      dns.repair();
      await run.signal(signal('retry'), { node: 'a' });
      expect(await run.result()).toMatchObject({ phase: 'done' });
    });
    expect(cluster.broken).toEqual([]);
  });

  it('is rolled back automatically with onFailure "rollback", and skipped when an operator requests it', async () => {
    const cluster = fakeCluster({ nodes: ['a', 'b'], ...failActivity('verify cilium', 'a') });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, { ...unattendedRequest, onFailure: 'rollback' });
      const status = await waitForPendingWait(run, 'a decision about a (VerificationFailed)');
      expect(status.nodes[0]).toMatchObject({ state: 'rolled-back', failure: { type: 'VerificationFailed' } });
      expect(cluster.cordoned()).toEqual([]);
      expect(cluster.calls).not.toContain('cordonNode b');
      await run.signal(signal('skip'), { node: 'a' });
      await waitForPendingWait(run, 'a decision about a (skipped)');
      expect(cluster.nodes.get('b')).toMatchObject({ pods: 'cilium' });
      await run.terminate();
    });
  });

  it('is reported when its rollback fails too', async () => {
    const cluster = fakeCluster({
      nodes: ['a'],
      before: (activity) => {
        if (activity === 'verify cilium') throw permanent('VerificationFailed', 'no DNS');
        if (activity === 'restoreSourceCni') throw permanent('NodeNotReady', 'no kubelet');
      },
    });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, { ...unattendedRequest, onFailure: 'rollback' });
      const status = await waitForPendingWait(run, 'a decision about a (NodeNotReady)');
      expect(status.nodes[0]?.failure?.message).toBe('rollback of node a: no kubelet');
      await run.terminate();
    });
    expect(cluster.cordoned()).toEqual(['a']);
  });
});

it('rolls back a node during its migration, and another that is migrated', async () => {
  const hold = blockActivity('verify cilium', 'b');
  const cluster = fakeCluster({ nodes: ['a', 'b'], ...hold });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    await waitForMigrationStatus(run, hold.reached);
    await run.signal(signal('rollback'), { node: 'b' });
    await waitForMigrationStatus(run, ({ nodes }) => nodes[1]?.state === 'rolled-back');
    await run.signal(signal('rollback'), { node: 'a' });
    const status = await waitForPendingWait(run, 'a decision about a (rolled-back), b (rolled-back)');
    expect(states(status)).toEqual(['rolled-back', 'rolled-back']);
    await run.terminate();
  });
  for (const node of cluster.nodes.values())
    expect(node).toMatchObject({ flipped: false, pods: 'canal', cordoned: false });
  expect(cluster.broken).toEqual([]);
});

describe('abort', () => {
  it('restores the current node, keeps the others, and ends', async () => {
    const hold = blockActivity('recycle to cilium', 'b');
    const cluster = fakeCluster(hold);
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, unattendedRequest);
      await waitForMigrationStatus(run, hold.reached);
      await run.signal(signal('abort'), { by: 'ann', reason: 'an incident' });
      const failure = await waitForFailure(run);
      expect(failure).toMatchObject({ type: 'Aborted' });
      expect(failure.message).toContain(
        'aborted by ann (an incident) in the phase migrate; 1 of 3 nodes are on Cilium'
      );
    });
    expect([...cluster.nodes.values()].map(({ pods }) => pods)).toEqual(['cilium', 'canal', 'canal']);
    expect(cluster.cordoned()).toEqual([]);
    expect(cluster.broken).toEqual([]);
    expect(cluster.system.lock).toBe('');
  });

  it('restores a node whose worker crashed before it received the cancellation', async () => {
    let die: (() => void) | undefined;
    const cluster = fakeCluster({
      // Without a heartbeat, like the activity of a dead worker.
      before: (activity) =>
        activity === 'flipNode' && die === undefined ? new Promise<void>((resolve) => (die = resolve)) : undefined,
    });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, unattendedRequest);
      await waitForMigrationStatus(run, () => die !== undefined);
      await run.signal(signal('abort'), {});
      expect(await waitForFailure(run)).toMatchObject({ type: 'Aborted' });
      expect(cluster.calls).toContain('revertNodeFlip a');
      expect(cluster.cordoned()).toEqual([]);
      die?.();
    });
  });

  it('ends during the start of coexistence', async () => {
    const hold = blockActivity('waitForAgents');
    const cluster = fakeCluster(hold);
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, unattendedRequest);
      await waitForMigrationStatus(run, hold.reached);
      await run.signal(signal('abort'), {});
      expect(await waitForFailure(run)).toMatchObject({ type: 'Aborted' });
    });
  });
});

describe('rollback of all', () => {
  const undone = { system: { canal: true, installed: false, ciliumOwnsCni: false, helpers: false, lock: '' } };

  it('rolls back every node in reverse order, then removes Cilium', async () => {
    const hold = blockActivity('drain to cilium', 'c');
    const cluster = fakeCluster(hold);
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, unattendedRequest);
      await waitForMigrationStatus(run, hold.reached);
      await run.signal(signal('rollback'), { all: true, by: 'ann' });
      expect(await run.result()).toMatchObject({ phase: 'rolled-back', changed: true });
    });
    expect(cluster).toMatchObject(undone);
    for (const node of cluster.nodes.values())
      expect(node).toMatchObject({ flipped: false, pods: 'canal', cordoned: false });
    const reverted = cluster.calls.filter((call) => call.startsWith('revertNodeFlip'));
    expect(reverted).toEqual(['revertNodeFlip b', 'revertNodeFlip a']);
    expect(cluster.broken).toEqual([]);
  });

  it('also rolls back a node whose migration failed', async () => {
    const cluster = fakeCluster({
      nodes: ['a', 'b'],
      before: (activity, node) => {
        if (activity === 'verify cilium' && node === 'a') throw permanent('VerificationFailed', 'no DNS');
      },
    });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, unattendedRequest);
      await waitForPendingWait(run, 'a decision about a');
      await run.signal(signal('rollback'), { all: true });
      expect(await run.result()).toMatchObject({ phase: 'rolled-back' });
    });
    expect(cluster).toMatchObject(undone);
    expect(cluster.cordoned()).toEqual([]);
    expect(cluster.broken).toEqual([]);
  });

  it('reverts the cutover, up to the point of no return', async () => {
    const cluster = fakeCluster({ nodes: ['a', 'b'] });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, { ...unattendedRequest, cleanup: 'approve' });
      await waitForPendingWait(run, 'approval of the cleanup');
      await run.signal(signal('rollback'), { all: true });
      expect(await run.result()).toMatchObject({ phase: 'rolled-back' });
    });
    expect(cluster).toMatchObject(undone);
    expect(cluster.calls.filter((call) => call.endsWith('values'))).toEqual([
      ...['coexistence values', 'cutover values', 'final values', 'coexistence values'],
    ]);
    expect(cluster.calls).not.toContain('removeCanal');
    expect(cluster.broken).toEqual([]);
  });

  it.each(['automatic', 'approve'])(
    'is refused, as abort and pause, once a cleanup that is "%s" removes Canal',
    async (cleanup) => {
      let release: (() => void) | undefined;
      const cluster = fakeCluster({
        nodes: ['a'],
        before: async (activity) => {
          if (activity !== 'removeCanal') return;
          const beat = setInterval(() => heartbeat(), 50);
          await new Promise<void>((resolve) => (release = resolve)).finally(() => clearInterval(beat));
        },
      });
      await server.withWorker(cluster.activities, async (client, taskQueue) => {
        const run = await startRun(client, taskQueue, { ...unattendedRequest, cleanup });
        if (cleanup === 'approve') {
          await waitForPendingWait(run, 'approval of the cleanup');
          await run.signal(signal('approve'), { cleanup: true, by: 'ann' });
        }
        await waitForMigrationStatus(run, () => release !== undefined);

        const answers: Record<string, unknown> = {};
        for (const [name, message] of [
          ['rollback', { all: true }] as const,
          ['abort', {}] as const,
          ['pause', {}] as const,
        ]) {
          answers[name] = await run
            .executeUpdate(name, { args: [message] })
            .catch((error: unknown) => (error as WorkflowUpdateFailedError).cause?.message);
        }
        release?.();

        const refusal = (name: string): string => `the point of no return: ${name} is no longer possible`;
        for (const name of ['rollback', 'abort', 'pause']) expect(answers[name]).toContain(refusal(name));
        const by = cleanup === 'approve' ? 'ann' : 'cni-live-migration';
        expect(await run.result()).toMatchObject({ phase: 'done', approvals: { cleanup: { by } } });
      });
      expect(cluster.broken).toEqual([]);
    }
  );

  it('pauses with the reason when a node cannot go back, and continues when it is resumed', async () => {
    let broken = true;
    const cluster = fakeCluster({
      nodes: ['a'],
      before: (activity) => {
        if (broken && activity === 'restoreSourceCni') throw permanent('NodeNotReady', 'no kubelet');
      },
    });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, { ...unattendedRequest, cleanup: 'approve' });
      await waitForPendingWait(run, 'approval of the cleanup');
      await run.signal(signal('rollback'), { all: true });
      const { phase, paused } = await waitForPendingWait(run, 'resume');
      expect({ phase, reason: paused?.reason }).toEqual({
        phase: 'rolling-back',
        reason: expect.stringContaining('NodeNotReady') as string,
      });
      expect(cluster.calls).not.toContain('uninstallCilium');
      broken = false;
      await run.signal(signal('resume'), {});
      expect(await run.result()).toMatchObject({ phase: 'rolled-back' });
    });
    expect(cluster).toMatchObject(undone);
    expect(cluster.broken).toEqual([]);
  });

  it('ends with the reason when the input requests it, and a new run completes the rollback', async () => {
    let broken = true;
    const cluster = fakeCluster({
      nodes: ['a'],
      before: (activity) => {
        if (broken && activity === 'restoreSourceCni') throw permanent('NodeNotReady', 'no kubelet');
      },
    });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const input = { ...unattendedRequest, cleanup: 'approve', onFailure: 'stop' };
      const first = await startRun(client, taskQueue, input);
      await waitForPendingWait(first, 'approval of the cleanup');
      await first.signal(signal('rollback'), { all: true });
      expect(await waitForFailure(first)).toMatchObject({ type: 'NodeNotReady' });
      broken = false;
      const second = await startRun(client, taskQueue, perNode);
      await second.signal(signal('rollback'), { all: true });
      expect(await second.result()).toMatchObject({ phase: 'rolled-back' });
    });
    expect(cluster).toMatchObject(undone);
    expect(cluster.broken).toEqual([]);
  });
});

describe('an answer to an update', () => {
  it('reports the result or the reason of the refusal; a refused update changes nothing', async () => {
    const cluster = fakeCluster({ nodes: ['a'] });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, perNode);
      await waitForPendingWait(run, 'approval of the plan');
      const send = (name: MessageName, message: object): Promise<unknown> =>
        run
          .executeUpdate(name, { args: [message] })
          .catch((error: unknown) => (error as WorkflowUpdateFailedError).cause?.message);
      const before = JSON.stringify(await run.query(statusQuery));
      expect(await send('approve', { node: 'zzz' })).toBe('the cluster has no node zzz');
      expect(await send('resume', {})).toBe('the migration is not paused');
      expect(await send('setMaxConcurrency', { maxConcurrency: 0 })).toContain('maxConcurrency: ');
      expect(await send('approve', { cleanup: true })).toContain('the cleanup is not awaiting approval');
      expect(JSON.stringify(await run.query(statusQuery))).toBe(before);
      expect(await send('setMaxConcurrency', { maxConcurrency: 3 })).toContain('at most 3 nodes per wave');
      expect(await send('approve', { node: 'a', by: 'ann' })).toBe('a is approved');
      expect(await send('approve', { plan: true })).toBe('the plan is approved');
      await approveCutover(run);
      expect(await run.result()).toMatchObject({ phase: 'done', maxConcurrency: 3 });
    });
  });
});

it('notes invalid messages, and continues', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, perNode);
    await waitForPendingWait(run, 'approval of the plan');
    for (const name of messageNames) await run.signal(name, { nonsense: 7 });
    await approvePlan(run);
    await run.signal(signal('approve'), { node: 'a' });
    await approveCutover(run);
    const { notes } = await run.result();
    for (const name of messageNames) expect(notes.join('\n')).toContain(`${name} was ignored: `);
  });
});

it('keeps the last fifty notes', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, perNode);
    for (let index = 0; index < 60; index++) await run.signal('approve', { node: index });
    const { notes } = await waitForMigrationStatus(run, (status) => status.notes.length === 50);
    expect(notes[0]).toContain('{"node":10}');
    await run.terminate();
  });
});

describe('a blocker of a drain', () => {
  const pass = (seconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, seconds * 100));
  const budget = {
    pod: 'shop/web-1',
    kind: 'DisruptionBudget',
    reason: 'PodDisruptionBudget shop/web allows 0 disruptions',
  } as const;

  it('is shown with pod and budget, and an operator may let the pod be deleted', async () => {
    let rounds = 0;
    const cluster = fakeCluster({
      nodes: ['a'],
      left: (_, forced) => (forced.includes('shop/web-1') ? [] : [budget]),
      // In this test, rounds take an hour: the message ends one before its time.
      pass: async () => {
        if (++rounds > 1) await new Promise(() => setInterval(() => heartbeat(), 50).unref());
      },
    });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, { ...unattendedRequest, drain: { timeoutSeconds: 86_400 } });
      await waitForMigrationStatus(run, ({ nodes }) => nodes[0]?.blockers?.length === 1);
      expect(await run.query(blockersQuery)).toEqual([{ node: 'a', ...budget }]);
      expect(await run.query(nodeQuery, 'a')).toMatchObject({ state: 'migrating', blockers: [budget] });
      expect(await run.query(nodeQuery, 'zzz')).toBeUndefined();
      await run.signal(signal('forcePod'), { pod: 'shop/web-1', by: 'ann' });
      expect(await run.result()).toMatchObject({ phase: 'done' });
      expect(await run.query(blockersQuery)).toEqual([]);
    });
  });

  it('is shown in a rollback too, and an operator may let the pod be deleted', async () => {
    const calls: string[] = [];
    const cluster = fakeCluster({
      nodes: ['a', 'b'],
      before: (activity, node) => void calls.push(`${activity} ${node}`),
      left: (_, forced) => (calls.includes('revertNodeFlip a') && !forced.includes('shop/web-1') ? [budget] : []),
      pass,
    });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, { ...perNode, approval: 'canary-only' });
      await approvePlan(run);
      await run.signal(signal('approve'), { wave: 1 });
      await waitForMigrationStatus(run, ({ nodes }) => nodes[0]?.state === 'migrated');
      await run.signal(signal('rollback'), { node: 'a' });
      await waitForMigrationStatus(run, ({ nodes }) => nodes[0]?.blockers?.length === 1);
      await run.signal(signal('forcePod'), { pod: 'shop/web-1' });
      await waitForMigrationStatus(run, ({ nodes }) => nodes[0]?.state === 'rolled-back');
      await run.terminate();
    });
    expect(cluster.nodes.get('a')).toMatchObject({ pods: 'canal', cordoned: false });
  });

  it('fails the node when the time limit has passed, and the node is uncordoned', async () => {
    const cluster = fakeCluster({ nodes: ['a'], left: () => [budget], pass });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, {
        ...unattendedRequest,
        onFailure: 'stop',
        drain: { timeoutSeconds: 10 },
      });
      const failure = await waitForFailure(run);
      expect(failure).toMatchObject({ type: 'DrainBlocked' });
      expect(failure.message).toContain('pod shop/web-1: PodDisruptionBudget shop/web allows 0 disruptions');
      expect(failure.message).toContain('send forcePod');
    });
    expect(cluster.cordoned()).toEqual([]);
  });

  it('does not fail the node while pods are within their own grace period', async () => {
    let rounds = 0;
    const cluster = fakeCluster({
      nodes: ['a'],
      pass,
      left: () => (rounds++ < 20 ? [{ pod: 'shop/db-0', kind: 'Terminating', reason: 'it ends' }] : []),
    });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, { ...unattendedRequest, drain: { timeoutSeconds: 10 } });
      expect(await run.result()).toMatchObject({ phase: 'done' });
    });
    expect(rounds).toBeGreaterThan(20);
  });
});
