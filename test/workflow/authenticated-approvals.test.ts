import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { readPlanDigest, type ApprovalObject } from '../../model/migration-approval.ts';
import { startApprovingApi, type ApprovingApi } from '../support/approving-api.ts';
import { CniMigrate } from '../support/cni-migrate.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import { send, waitFor } from '../support/interventions.ts';
import { startRun, waitForMigrationStatus, waitForPendingWait } from '../support/migration-run.ts';
import { timeLimits } from '../support/time-limits.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** Approvals that are objects of the cluster: a message only wakes the migration. */
jest.setTimeout(timeLimits.longTest);
const server = new WorkflowServer();
const alice = { principal: 'alice@example.com', by: 'ann' };
const cluster = fakeCluster({ nodes: ['a', 'b'], approvals: 'authenticated' });
const created: ApprovalObject['spec'][] = [];
let dir: string;
let api: ApprovingApi;
beforeAll(async () => {
  await server.start();
  dir = await mkdtemp(path.join(tmpdir(), 'cni-approvals-'));
  api = await startApprovingApi(dir, alice.principal, ({ spec }) => {
    created.push(spec);
    for (const step of spec.nodes?.map((node) => `node/${node}`) ?? [spec.subject])
      cluster.system.approvals.set(step, spec.user);
  });
});
afterAll(async () => {
  api.close();
  await server.stop();
  await rm(dir, { recursive: true });
});

it('waits for the approval in the cluster, not for a message alone, and records who gave it', async () => {
  const count = (call: string): number => cluster.calls.filter((name) => name === call).length;
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { cluster: 'prod', approval: 'every-wave' });
    const approve = (...subject: string[]) => {
      const target = ['prod', '--workflow-id', run.workflowId, '--kubeconfig', api.kubeconfig, '--by', 'ann'];
      return new CniMigrate(server.env.address, ['approve', ...target, ...subject]).end();
    };
    const { waiting } = await waitForPendingWait(run, 'approval of the plan');

    // A message alone: noted, searched for once, and the same wait continues.
    const answer = await send(run, 'approve', { plan: true, by: 'ann' });
    expect(answer).toContain('noted: the plan is approved once its MigrationApproval is found');
    const noted = await waitForMigrationStatus(
      run,
      ({ notes, waitingFor }) => notes.length > 0 && waitingFor !== undefined
    );
    expect(noted).toMatchObject({
      phase: 'plan',
      approvals: {},
      waitingFor: expect.stringContaining('approval of the plan') as string,
      waiting: { since: waiting?.since },
      notes: [expect.stringContaining('claimed by ann, and does not count yet: no MigrationApproval')],
      approvalTarget: { workflowId: run.workflowId, firstRunId: run.firstExecutionRunId },
    });
    expect(count('findApprovals plan')).toBe(1);

    // A refused message leaves no approval that would count later.
    expect(await approve('--cleanup')).toMatchObject({
      code: 3,
      err: expect.stringContaining('no approval was created') as string,
    });
    expect(await approve()).toMatchObject({ code: 3 });
    expect(created).toEqual([]);

    expect(await approve('--plan', '--reason', 'tested', '--not-after', '2099-01-01T00:00:00Z')).toMatchObject({
      code: 0,
      err: expect.stringContaining('created the MigrationApproval approval-x as alice@example.com') as string,
    });
    const first = await waitForPendingWait(run, 'approval of wave 1');
    expect(first.approvals.plan).toMatchObject({ ...alice, object: 'approval-of-plan', reason: 'tested' });

    // An approval of a node that is not of the wave.
    cluster.system.approvals.set('node/b', alice.principal);
    await send(run, 'approve', { wave: 1, by: 'mallory' });
    await waitFor(() => Promise.resolve(count('findApprovals node/a') === 1));
    const refused = await waitForPendingWait(run, 'approval of wave 1');
    expect(refused.nodes.map(({ state }) => state)).toEqual(['awaiting-approval', 'pending']);

    expect(await approve('--wave', '1')).toMatchObject({ code: 0 });
    await waitForPendingWait(run, 'approval of wave 2');
    await send(run, 'approve', { node: 'b', by: 'ann' });
    for (const phase of ['cutover', 'cleanup'] as const) {
      await waitForPendingWait(run, `approval of the ${phase}`);
      cluster.system.approvals.set(phase, alice.principal);
      await send(run, 'approve', { [phase]: true, by: 'ann' });
    }

    const report = await run.result();
    expect(report.approvals).toMatchObject({ plan: alice, cutover: alice, cleanup: alice });
    expect(report.nodes.map(({ state, approval }) => ({ state, ...approval }))).toMatchObject([
      { state: 'migrated', ...alice },
      { state: 'migrated', ...alice },
    ]);
    const planDigest = readPlanDigest(first);
    const target = { workflowId: run.workflowId, firstRunId: run.firstExecutionRunId, planDigest };
    expect(created).toEqual([
      { ...target, subject: 'plan', user: alice.principal, reason: 'tested', notAfter: '2099-01-01T00:00:00.000Z' },
      { ...target, subject: 'wave/1', user: alice.principal, nodes: ['a'] },
    ]);
  });
  expect(cluster.broken).toEqual([]);
});
