import { fakeCluster } from '../support/fake-cluster.ts';
import { send, waitFor } from '../support/interventions.ts';
import { startRun, waitForMigrationStatus, waitForPendingWait } from '../support/migration-run.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** Approvals that are objects of the cluster: a message only wakes the migration. */
const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

const alice = { principal: 'alice@example.com', by: 'ann' };

it('waits for the approval in the cluster, not for a message alone, and records who gave it', async () => {
  const cluster = fakeCluster({ nodes: ['a', 'b'], approvals: 'authenticated' });
  const { approvals } = cluster.system;
  const count = (call: string): number => cluster.calls.filter((name) => name === call).length;
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { cluster: 'prod', approval: 'every-wave' });
    const { waiting } = await waitForPendingWait(run, 'approval of the plan');

    // A signal alone: noted, searched for once, and the same wait continues.
    const answer = await send(run, 'approve', { plan: true, by: 'ann' });
    const noted = await waitForMigrationStatus(
      run,
      ({ notes, waitingFor }) => notes.length > 0 && waitingFor !== undefined
    );
    expect(answer).toContain('noted: the plan is approved once its MigrationApproval is found');
    expect(noted).toMatchObject({
      phase: 'plan',
      approvals: {},
      waitingFor: expect.stringContaining('approval of the plan') as string,
      waiting: { since: waiting?.since },
      notes: [expect.stringContaining('claimed by ann, and does not count yet: no MigrationApproval')],
      approvalTarget: { workflowId: run.workflowId, firstRunId: run.firstExecutionRunId },
    });
    expect(count('findApprovals plan')).toBe(1);

    approvals.set('plan', alice.principal);
    await send(run, 'approve', { plan: true, by: 'ann' });
    const first = await waitForPendingWait(run, 'approval of wave 1');
    expect(first.approvals.plan).toMatchObject({ ...alice, object: 'approval-of-plan' });

    // A node that is not of the wave, and a wave without an approval.
    approvals.set('node/b', alice.principal);
    await send(run, 'approve', { wave: 1, by: 'mallory' });
    await waitFor(() => Promise.resolve(count('findApprovals node/a') === 1));
    const refused = await waitForPendingWait(run, 'approval of wave 1');
    expect(refused.nodes.map(({ state }) => state)).toEqual(['awaiting-approval', 'pending']);

    approvals.set('node/a', alice.principal);
    await send(run, 'approve', { node: 'a', by: 'ann' });
    await waitForPendingWait(run, 'approval of wave 2');
    await send(run, 'approve', { wave: 2, by: 'ann' });
    for (const phase of ['cutover', 'cleanup'] as const) {
      await waitForPendingWait(run, `approval of the ${phase}`);
      approvals.set(phase, alice.principal);
      await send(run, 'approve', { [phase]: true, by: 'ann' });
    }

    const report = await run.result();
    expect(report.approvals).toMatchObject({ plan: alice, cutover: alice, cleanup: alice });
    expect(report.nodes.map(({ state, approval }) => ({ state, ...approval }))).toMatchObject([
      { state: 'migrated', ...alice },
      { state: 'migrated', ...alice },
    ]);
  });
  expect(cluster.broken).toEqual([]);
});
