import type { Client, WorkflowHandle } from '@temporalio/client';
import { fakeCluster, permanent } from '../support/fake-cluster.ts';
import { hold, send } from '../support/interventions.ts';
import { startRun, unattendedRequest, waitForMigrationStatus, type Run } from '../support/migration-run.ts';
import { skipTime } from '../support/time-skips.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** What a run does about the steps of an earlier, terminated one. */
const server = new WorkflowServer({ skipsTime: true });
beforeAll(() => server.start());
afterAll(() => server.stop());

const minuteMs = 60_000;

/** Starts the next run of a migration, and waits until it waits for the node that the earlier run restores. */
async function startNext(client: Client, taskQueue: string, { workflowId }: Run): Promise<[Run, WorkflowHandle]> {
  const options = { taskQueue, workflowId, args: [unattendedRequest] };
  await client.workflow.start('clusterMigration', options);
  const run = client.workflow.getHandle(workflowId) as Run;
  await waitForMigrationStatus(run, ({ nodes }) => nodes[0]?.waitingFor?.includes('of an earlier run') === true);
  const ofNode = client.workflow.getHandle(`${workflowId}/node/a`);
  return [run, client.workflow.getHandle(ofNode.workflowId, (await ofNode.describe()).runId)];
}

it('rolls back a node on request although an earlier run fails to restore it', async () => {
  const migration = hold('recycle to cilium a');
  const restoration = hold('verify canal a');
  let isBroken = true;
  const cluster = fakeCluster({
    nodes: ['a', 'b'],
    before: async (...call) => {
      await migration.before(...call);
      await restoration.before(...call);
      if (isBroken && call[0] === 'verify canal') throw permanent('VerificationFailed', 'no DNS');
    },
  });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const first = await startRun(client, taskQueue, unattendedRequest);
    await migration.waitUntilReached();
    await first.terminate();
    await restoration.waitUntilReached();
    const [run, ofNode] = await startNext(client, taskQueue, first);

    expect(await send(run, 'rollback', { node: 'a' })).toBe('rollback of a requested');

    await waitForMigrationStatus(run, ({ nodes }) => nodes[0]?.state === 'rolling-back');
    restoration.release();
    await ofNode.result().catch(() => undefined);
    isBroken = false;
    await skipTime(run, minuteMs);
    await waitForMigrationStatus(run, ({ nodes }) => nodes[0]?.state === 'rolled-back');
    expect(cluster.nodes.get('a')).toMatchObject({ flipped: false, pods: 'canal', cni: 'canal', cordoned: false });
    await run.terminate();
  });
  expect(cluster.broken).toEqual([]);
});

it('deletes a pod whose deletion was requested while an earlier run restored the node', async () => {
  const migration = hold('drain to cilium a');
  const restoration = hold('uncordonNode a');
  const forced: string[][] = [];
  const cluster = fakeCluster({
    nodes: ['a'],
    before: async (...call) => {
      await migration.before(...call);
      await restoration.before(...call);
    },
    left: (_, pods) => {
      forced.push([...pods]);
      return [];
    },
  });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const first = await startRun(client, taskQueue, unattendedRequest);
    await migration.waitUntilReached();
    await first.terminate();
    await restoration.waitUntilReached();
    const [run, ofNode] = await startNext(client, taskQueue, first);

    await send(run, 'forcePod', { pod: 'shop/web-1' });

    restoration.release();
    await ofNode.result().catch(() => undefined);
    await skipTime(run, minuteMs);
    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
  expect(forced.at(-1)).toEqual(['shop/web-1']);
  expect(cluster.broken).toEqual([]);
});

it.each([
  ['before its release is applied', 'applyHelmRelease'],
  ['after its release was applied', 'restartOutdatedAgent'],
])(
  'deploys the identity bridge before a node returns to Canal, when the cutover was terminated %s',
  async (_, step) => {
    const cutover = hold(step);
    const rollback = hold('restartOutdatedAgent');
    let isCuttingOver = false;
    const withoutBridge: string[] = [];
    const cluster = fakeCluster({
      nodes: ['a'],
      before: async (activity, node) => {
        if (activity === 'removeIdentityBridge') isCuttingOver = true;
        if (activity === 'revertNodeFlip' && !cluster.system.bridge) withoutBridge.push(node ?? '');
        if (cutover.isReached()) await rollback.before(activity, node);
        else if (isCuttingOver) await cutover.before(activity, node);
      },
    });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const first = await startRun(client, taskQueue, unattendedRequest);
      await cutover.waitUntilReached();
      if (step === 'restartOutdatedAgent') {
        await send(first, 'rollback', { all: true });
        await rollback.waitUntilReached();
      }
      await first.terminate();
      cutover.release();

      const run = await client.workflow.signalWithStart('clusterMigration', {
        ...{ taskQueue, workflowId: first.workflowId, args: [unattendedRequest] },
        ...{ signal: 'rollback', signalArgs: [{ all: true }] },
      });

      rollback.release();
      expect(await run.result()).toMatchObject({ phase: 'rolled-back' });
    });
    expect({ withoutBridge, broken: cluster.broken }).toEqual({ withoutBridge: [], broken: [] });
  }
);
