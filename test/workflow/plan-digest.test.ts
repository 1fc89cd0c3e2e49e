import { createRequestActivities } from '../../activities/plan/resolve-request.ts';
import { planQuery } from '../../workflows/messages.ts';
import { fakeCluster, plannedRelease } from '../support/fake-cluster.ts';
import { send } from '../support/interventions.ts';
import { startRun, unattendedRequest, waitForMigrationStatus, waitForPendingWait } from '../support/migration-run.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

const otherChart = { ...plannedRelease, chartDigest: `sha256:${'f'.repeat(64)}` };

it('applies only the plan whose digest was approved, and asks when the chart has changed', async () => {
  let release = plannedRelease;
  const cluster = fakeCluster({ nodes: ['a'], release: () => release });
  const { resolveRequest } = createRequestActivities(undefined, () => ({ requirePlanDigest: true }));
  await server.withWorker({ ...cluster.activities, resolveRequest }, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { ...unattendedRequest, approval: 'canary-only' });
    const { planDigest: first = '' } = await waitForPendingWait(run, 'approval of the plan');
    expect(await run.query(planQuery)).toMatchObject({ digest: first, release: plannedRelease });

    // Without a digest, and with that of another plan.
    expect(await send(run, 'approve', { plan: true })).toContain(first);
    const wrong = 'f'.repeat(64);
    expect(await send(run, 'approve', { plan: wrong })).toContain(`the pending plan is ${first.slice(0, 12)}…`);

    // A plan that is computed again after a pause is another plan when the chart has changed.
    await send(run, 'pause');
    release = otherChart;
    await waitForPendingWait(run, 'resume');
    await send(run, 'resume');
    const { planDigest: second = '' } = await waitForMigrationStatus(
      run,
      ({ planDigest, waitingFor }) => planDigest !== first && waitingFor?.startsWith('approval of the plan') === true
    );
    expect(await send(run, 'approve', { plan: first })).toMatch(
      new RegExp(`^no: the pending plan is ${second.slice(0, 12)}…, and not ${first.slice(0, 12)}…`)
    );

    // The chart changes again before the installation: nothing is applied, and a human decides.
    release = plannedRelease;
    expect(await send(run, 'approve', { plan: second.slice(0, 12), by: 'ann' })).toContain('is approved');
    const paused = await waitForPendingWait(run, 'resume');
    expect(paused.paused?.reason).toContain('coexistence failed (PlanChanged)');
    expect(paused.waiting?.answers.map(({ message }) => message)).toEqual(['resume', 'abort', 'rollback']);
    expect(cluster.calls).not.toContain('coexistence values');
    release = otherChart;
    await send(run, 'approve', { node: 'a' });
    await send(run, 'resume');

    const { phase, approvals, planDigest } = await run.result();
    expect({ phase, planDigest }).toEqual({ phase: 'done', planDigest: second });
    expect(approvals.plan).toMatchObject({ by: 'ann', planDigest: second, namesPlan: true });
  });
  const applied = cluster.calls.filter((call) => call.endsWith(' values'));
  expect(applied).toEqual(['coexistence values', 'cutover values', 'final values']);
  expect(cluster.broken).toEqual([]);
});
