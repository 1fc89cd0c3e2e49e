import { signal, statusQuery } from '../../workflows/messages.ts';
import { fakeCluster, permanent } from '../support/fake-cluster.ts';
import { startRun, unattendedRequest, waitForMigrationStatus, waitForPendingWait } from '../support/migration-run.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** Nodes that are switched off in the cutover or in the cleanup: the others continue, and they follow when they are back. */
const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

/** A cluster in which a node is switched off at a step of another node, and then fails at a step of its own. */
function clusterWithAwayNode(switchedOffAt: string, failingStep: string) {
  const cluster = fakeCluster({
    nodes: ['a', 'b', 'c'],
    before: (activity, node) => {
      const away = cluster.nodes.get('b');
      if (away === undefined) return;
      if (activity === switchedOffAt) away.ready = false;
      if (activity === failingStep && node === 'b' && !away.ready) throw permanent('NodeNotReady', 'b is away');
    },
  });
  return cluster;
}

const steps = [
  { phase: 'cutover', at: 'removeIdentityBridge', step: 'restartOutdatedAgent', next: 'final values' },
  { phase: 'cleanup', at: 'removeCanal', step: 'cleanHost', next: 'removeCanalTraces' },
] as const;

it.each(steps)('are sidelined in the $phase, and finished when they are back', async ({ phase, at, step, next }) => {
  const cluster = clusterWithAwayNode(at, step);
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);

    const { waiting, waitingFor } = await waitForPendingWait(run, 'a decision about b, which is not Ready');

    expect(waiting?.kind).toBe('decision');
    expect(waitingFor).toContain('repair it, or remove it from the cluster');
    expect((await run.query(statusQuery)).phase).toBe(phase);
    for (const node of ['a', 'c']) expect(cluster.calls).toContain(`${step} ${node}`);
    expect(cluster.calls).not.toContain(`${step} b`);
    expect(cluster.calls).not.toContain(next);
    Object.assign(cluster.nodes.get('b') ?? {}, { ready: true });
    expect(await run.result()).toMatchObject({ phase: 'done' });
    expect(cluster.calls).toContain(`${step} b`);
  });
  expect(cluster.broken).toEqual([]);
});

it.each(steps)('do not stop the $phase once they have left the cluster', async ({ at, step }) => {
  const cluster = clusterWithAwayNode(at, step);
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    await waitForPendingWait(run, 'a decision about b, which is not Ready');
    cluster.nodes.delete('b');
    expect(await run.result()).toMatchObject({ phase: 'done' });
    expect(cluster.calls).not.toContain(`${step} b`);
  });
  expect(cluster.broken).toEqual([]);
});

it('can be paused and aborted in the cutover', async () => {
  const cluster = clusterWithAwayNode('removeIdentityBridge', 'restartOutdatedAgent');
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    await waitForPendingWait(run, 'a decision about b, which is not Ready');
    await run.signal(signal('pause'), { by: 'ann' });
    await waitForMigrationStatus(run, ({ waiting }) => waiting?.kind === 'resume');
    await run.signal(signal('abort'), { by: 'ann' });
    await expect(run.result()).rejects.toThrow();
  });
  expect(cluster.broken).toEqual([]);
});

it('with something on Canal keep the cleanup from its point of no return', async () => {
  const findings = [{ kind: 'NodeNotReady' as const, subject: 'b', node: 'b', reason: 'it is not Ready' }];
  const cluster = fakeCluster({ nodes: ['a', 'b'], removalFindings: () => findings });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);

    const { paused } = await waitForPendingWait(run, 'resume');

    expect(paused?.reason).toContain('Canal cannot be removed yet: b: it is not Ready');
    expect(cluster.calls).not.toContain('recordPointOfNoReturn');
    findings.length = 0;
    await run.signal(signal('resume'), {});
    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
  expect(cluster.broken).toEqual([]);
});

it('are finished soon when they are back before the migration knows that they were away', async () => {
  let failures = 0;
  const cluster = fakeCluster({
    nodes: ['a', 'b', 'c'],
    before: (activity, node) => {
      if (activity !== 'cleanHost' || node !== 'b' || failures++ > 0) return;
      throw permanent('NodeNotReady', 'b is away');
    },
  });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    const { waiting } = await waitForPendingWait(run, 'a decision about b, which is not Ready');
    expect(Date.parse(waiting?.deadline ?? '') - Date.parse(waiting?.since ?? '')).toBeLessThanOrEqual(15_000);
    expect(await run.result()).toMatchObject({ phase: 'done' });
    expect(cluster.calls).toContain('cleanHost b');
  });
  expect(cluster.broken).toEqual([]);
});
