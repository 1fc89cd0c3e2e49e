import { statusQuery } from '../../workflows/messages.ts';
import { fakeCluster, permanent } from '../support/fake-cluster.ts';
import { send } from '../support/interventions.ts';
import {
  startRun,
  unattendedRequest,
  waitForMigrationStatus,
  waitForPendingWait,
  type Run,
} from '../support/migration-run.ts';
import { skipTime } from '../support/time-skips.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** Paths that are lost while a migration waits: the gates evaluate these minutes before the next disturbing step. */
const server = new WorkflowServer({ skipsTime: true });
beforeAll(() => server.start());
afterAll(() => server.stop());

const hourMs = 3_600_000;
const loss = 'pod-pod/tcp from b to c: 9000 ms without an answer';

/** A cluster whose gates for all nodes are breached while `isLost` is true. */
function clusterWithLoss() {
  const network = { isLost: false };
  const cluster = fakeCluster({
    nodes: ['a', 'b'],
    before: (activity, node) => {
      if (network.isLost && activity === 'checkGates' && node === undefined) throw permanent('GateBreached', loss);
    },
  });
  return { cluster, network };
}

/** Steps at which a migration waits, each with the message that ends the wait, and the first call after it. */
const steps = [
  {
    step: 'wave 2',
    input: { waves: { soakSeconds: 3_600 } },
    wait: 'the end of the soak of wave 1',
    proceed: (run: Run) => skipTime(run, hourMs + 1_000),
    call: 'cordonNode b',
  },
  {
    step: 'the cutover',
    input: { approval: 'every-wave' },
    wait: 'approval of the cutover',
    proceed: (run: Run) => send(run, 'approve', { cutover: true }),
    call: 'removeIdentityBridge',
  },
  {
    step: 'the cleanup',
    input: { cleanup: 'approve' },
    wait: 'approval of the cleanup',
    proceed: (run: Run) => send(run, 'approve', { cleanup: true }),
    call: 'recordPointOfNoReturn',
  },
] as const;

/** Approves what comes before a wait. */
async function approveUntil(run: Run, wait: string): Promise<void> {
  for (let approved = ''; ;) {
    const { waitingFor = '', waiting } = await waitForMigrationStatus(
      run,
      (status) => status.waitingFor !== undefined && status.waitingFor !== approved
    );
    if (waitingFor.startsWith(wait)) return;
    expect(waiting?.kind).toBe('approval');
    await send(run, 'approve', waiting?.answers[0]?.input);
    approved = waitingFor;
  }
}

it.each(steps)(
  'pauses the migration before $step, and names the path',
  async ({ step, input, wait, proceed, call }) => {
    const { cluster, network } = clusterWithLoss();
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, { ...unattendedRequest, ...input });
      await approveUntil(run, wait);
      await skipTime(run, 60_000);
      network.isLost = true;
      await proceed(run);

      const { paused, waiting } = await waitForPendingWait(run, 'resume');

      expect(paused?.reason).toContain(`the wait for ${step}`);
      expect(paused?.reason).toContain(loss);
      expect(waiting?.answers.map(({ message }) => message)).toContain('rollback');
      expect(cluster.calls).not.toContain(call);
      network.isLost = false;
      await send(run, 'resume');
      await waitForMigrationStatus(run, () => cluster.calls.includes(call));
      await run.terminate();
    });
    expect(cluster.broken).toEqual([]);
  }
);

it('does not complete while a path is lost', async () => {
  const { cluster, network } = clusterWithLoss();
  const removal = 'removeCanalTraces';
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { ...unattendedRequest, cleanup: 'approve' });
    await approveUntil(run, 'approval of the cleanup');
    network.isLost = true;
    await send(run, 'approve', { cleanup: true });
    const { paused } = await waitForPendingWait(run, 'resume');
    expect(cluster.calls).toContain(removal);
    expect(paused?.reason).toContain(loss);
    expect((await run.query(statusQuery)).phase).toBe('cleanup');
    network.isLost = false;
    await send(run, 'resume');
    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
  expect(cluster.broken).toEqual([]);
});
