import { statusQuery, signal } from '../../workflows/messages.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import { startRun, unattendedRequest, waitForPendingWait } from '../support/migration-run.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** Nodes that got their pods from Cilium without a migration, because they joined after the cutover. */
const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

it('are rolled back before Cilium is removed', async () => {
  const cluster = fakeCluster({ nodes: ['a', 'b'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { ...unattendedRequest, cleanup: 'approve' });
    await waitForPendingWait(run, 'approval of the cleanup');
    cluster.add({ name: 'c', pods: 'cilium', cni: 'cilium' });
    await run.signal(signal('rollback'), { all: true });
    expect(await run.result()).toMatchObject({ phase: 'rolled-back' });
    expect((await run.query(statusQuery)).phase).toBe('rolled-back');
  });
  const restored = cluster.calls.indexOf('restoreSourceCni c');
  expect(restored).toBeGreaterThan(cluster.calls.indexOf('letCanalOnAllNodes', cluster.calls.indexOf('final values')));
  expect(cluster.calls.indexOf('uninstallCilium')).toBeGreaterThan(restored);
  expect(cluster.nodes.get('c')).toMatchObject({ pods: 'canal', cni: 'canal' });
  expect(cluster.broken).toEqual([]);
});

it('whose pods stay on Cilium keep it from being removed', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  let users = 1;
  const activities = {
    ...cluster.activities,
    verifyBeforeUninstall: async (target: Parameters<typeof cluster.activities.verifyBeforeUninstall>[0]) => {
      const verification = await cluster.activities.verifyBeforeUninstall(target);
      if (users === 0) return verification;
      const reason = 'it has the address 10.245.0.9 of Cilium';
      const finding = { kind: 'PodOnRemovedNetwork' as const, subject: 'shop/web-1', node: 'a', reason };
      return { findings: [finding], more: 0, nodes: ['a'] };
    },
  };
  await server.withWorker(activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { ...unattendedRequest, cleanup: 'approve' });
    await waitForPendingWait(run, 'approval of the cleanup');
    await run.signal(signal('rollback'), { all: true });

    const { paused } = await waitForPendingWait(run, 'resume');

    expect(paused?.reason).toContain('shop/web-1: it has the address 10.245.0.9 of Cilium');
    expect(cluster.calls).not.toContain('uninstallCilium');
    users = 0;
    await run.signal(signal('resume'), {});
    expect(await run.result()).toMatchObject({ phase: 'rolled-back' });
  });
  expect(cluster.broken).toEqual([]);
});
