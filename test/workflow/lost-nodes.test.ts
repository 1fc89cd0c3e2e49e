import { signal, statusQuery } from '../../workflows/messages.ts';
import { clusterWithLostNode, type Loss } from '../support/lost-nodes.ts';
import { startRun, states, unattendedRequest, waitForPendingWait, type Run } from '../support/migration-run.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** Nodes that are switched off or deleted in any phase: they are sidelined by name, and the others continue. */
const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

/** Steps of a migration at which node b is lost, and what the others do meanwhile. */
const moments = [
  { phase: 'before the start', at: 'inspectCluster', others: 'uncordonNode' },
  { phase: 'in the preflight checks', at: 'runPreflight', others: 'uncordonNode' },
  { phase: 'in the installation of Cilium', at: 'applyCniChain', others: 'uncordonNode' },
  { phase: 'in a wave, before its drain', at: 'cordonNode b', others: 'uncordonNode' },
  { phase: 'in a wave, in its flip', at: 'flipNode b', others: 'uncordonNode' },
  { phase: 'in a wave, while it is verified', at: 'verify cilium b', others: 'uncordonNode' },
  { phase: 'in the cutover', at: 'removeIdentityBridge', others: 'restartOutdatedAgent' },
  { phase: 'in the export before the cleanup', at: 'exportCalico', others: 'cleanHost' },
  { phase: 'in the cleanup', at: 'removeCanal', others: 'cleanHost' },
  { phase: 'while it is cleaned', at: 'cleanHost b', others: 'cleanHost' },
] as const;

it.each(moments)('a node that is switched off $phase is finished when it is back', async ({ at, others }) => {
  const { cluster, bringBack } = clusterWithLostNode({ kind: 'switched off', at });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);

    await waitForPendingWait(run, 'a decision about b');

    for (const node of ['a', 'c']) expect(cluster.calls.filter((call) => call === `${others} ${node}`)).not.toEqual([]);
    bringBack();
    const report = await run.result();
    expect(report).toMatchObject({ phase: 'done' });
    expect(report.remaining).toBeUndefined();
    expect(states(report)).toEqual(['migrated', 'migrated', 'migrated']);
    expect(cluster.calls).toContain('cleanHost b');
  });
  expect(cluster.system).toMatchObject({ canal: false, helpers: false, unfinished: undefined });
  expect(cluster.broken).toEqual([]);
});

it.each(moments)('a node that is deleted $phase is forgotten, with a note', async ({ at }) => {
  const { cluster } = clusterWithLostNode({ kind: 'deleted', at });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);

    const report = await run.result();

    expect(report).toMatchObject({ phase: 'done' });
    expect(report.remaining).toBeUndefined();
    if (report.nodes.some(({ name }) => name === 'b')) expect(report.notes).toContain('b has left the cluster');
    expect(report.nodes.filter(({ name, state }) => name !== 'b' && state !== 'migrated')).toEqual([]);
  });
  expect(cluster.broken).toEqual([]);
});

/** Steps of a rollback of all nodes at which node b is lost. */
const momentsOfRollback = [
  { phase: 'in its rollback', at: 'revertNodeFlip b', isRolledBack: false },
  { phase: 'while it is verified', at: 'verify canal b', isRolledBack: false },
  { phase: 'after its rollback', at: 'exportCilium', isRolledBack: true },
  { phase: 'at the removal of Cilium', at: 'uninstallCilium', isRolledBack: true },
] as const;

async function startRollback(run: Run): Promise<void> {
  await waitForPendingWait(run, 'approval of the cleanup');
  await run.signal(signal('rollback'), { all: true });
}

const manual = { ...unattendedRequest, cleanup: 'approve' };

it.each(momentsOfRollback)(
  'a rollback of all nodes waits for a node that is switched off $phase, and finishes it',
  async ({ at, isRolledBack }) => {
    const { cluster, bringBack } = clusterWithLostNode({ kind: 'switched off', at });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, manual);
      await startRollback(run);

      const { waiting } = await waitForPendingWait(run, 'a decision about b, which is not Ready');

      for (const node of ['a', 'c']) expect(cluster.nodes.get(node)).toMatchObject({ pods: 'canal', cni: 'canal' });
      expect(cluster.calls.includes('uninstallCilium')).toBe(isRolledBack);
      // A node whose pods are on Cilium cannot be skipped: they would lose their network.
      expect(waiting?.answers.map(({ message }) => message)).toEqual(isRolledBack ? ['skip'] : []);
      bringBack();
      expect(await run.result()).toMatchObject({ phase: 'rolled-back' });
      expect(cluster.calls).toContain('cleanHost b');
    });
    expect(cluster.system).toMatchObject({ canal: true, installed: false, helpers: false });
    expect(cluster.broken).toEqual([]);
  }
);

it.each(momentsOfRollback)('a rollback of all nodes forgets a node that is deleted $phase', async ({ at }) => {
  const { cluster } = clusterWithLostNode({ kind: 'deleted', at });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, manual);
    await startRollback(run);

    expect(await run.result()).toMatchObject({ phase: 'rolled-back' });
  });
  expect(cluster.system).toMatchObject({ canal: true, installed: false });
  expect(cluster.broken).toEqual([]);
});

it.each<Loss>(['switched off', 'deleted'])('a rollback waits for no agent of a node that is %s', async (kind) => {
  const { cluster, lose, bringBack } = clusterWithLostNode();
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, manual);
    await waitForPendingWait(run, 'approval of the cleanup');
    lose(kind);
    await run.signal(signal('rollback'), { all: true });
    if (kind === 'switched off') {
      await waitForPendingWait(run, 'a decision about b, which is not Ready');
      expect((await run.query(statusQuery)).waitingFor).toContain('to roll it back to Canal');
      bringBack();
    }
    expect(await run.result()).toMatchObject({ phase: 'rolled-back' });
  });
  expect(cluster.broken).toEqual([]);
});
