import { Worker, type WorkflowBundle } from '@temporalio/worker';
import { dataConverter } from '../../temporal/data-converter.ts';
import { waitFor } from '../../lab/process.ts';
import { planQuery, signal } from '../../workflows/messages.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import { approveCutover, approvePlan, startRun, waitForPendingWait } from '../support/migration-run.ts';
import { timeLimits } from '../support/time-limits.ts';
import { WorkflowBuilds } from '../support/workflow-builds.ts';
import { WorkflowServer, plainBundle } from '../support/workflow-server.ts';

/** A worker without Worker Versioning is replaced by one of a newer build while a migration waits. */
const server = new WorkflowServer();
const taskQueue = 'upgrade';
let builds: WorkflowBuilds;
beforeAll(async () => {
  await server.start();
  builds = await WorkflowBuilds.create();
});
afterAll(async () => {
  await builds.remove();
  await server.stop();
});

async function withBuild(
  workflowBundle: WorkflowBundle,
  cluster: ReturnType<typeof fakeCluster>,
  work: () => Promise<void>
) {
  const worker = await Worker.create({
    connection: server.env.nativeConnection,
    taskQueue,
    workflowBundle,
    activities: cluster.activities,
    dataConverter: dataConverter(undefined),
  });
  await worker.runUntil(work);
}

const cutover = "  await migration.once('cutover: pods', () =>";
const planning = '  const facts = await nodes.refresh();';

it('is continued by a newer compatible build, and ends', async () => {
  const cluster = fakeCluster({ nodes: ['a', 'b'] });
  const more = "  if (isPatched('look-again')) await migration.run('nodeNames', 'list nodes', { cluster });";
  const file = 'workflows/cluster/phases/cutover.ts';
  const newer = await builds.build('newer', { file, from: cutover, to: `${more}\n${cutover}` });
  const run = await startRun(server.env.client, taskQueue, { cluster: 'prod', cleanup: 'automatic' });
  await withBuild(await plainBundle(), cluster, async () => {
    await approvePlan(run);
    await waitForPendingWait(run, 'approval of node a');
    await run.signal(signal('approve'), { node: 'a' });
    await waitForPendingWait(run, 'approval of node b');
  });
  // No worker runs; messages that are sent now wait.
  await run.signal(signal('approve'), { node: 'b', by: 'ann' });
  await withBuild(newer, cluster, async () => {
    await approveCutover(run);
    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
  const { events } = await run.fetchHistory();
  expect(events?.some(({ markerRecordedEventAttributes: marker }) => marker != null)).toBe(true);
});

it('stops under an incompatible build without harm, and continues with a compatible one', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  const more = '  await nodes.refresh();';
  const file = 'workflows/cluster/phases/plan.ts';
  const broken = await builds.build('broken', { file, from: planning, to: `${more}\n${planning}` });
  const run = await startRun(server.env.client, taskQueue, { cluster: 'other', cleanup: 'automatic' });
  await withBuild(await plainBundle(), cluster, async () => {
    await approvePlan(run);
    await waitForPendingWait(run, 'approval of node a');
  });
  const calls = cluster.calls.length;
  await run.signal(signal('approve'), { node: 'a' });
  await withBuild(broken, cluster, async () => {
    const failed = async (): Promise<boolean> =>
      ((await run.fetchHistory()).events ?? []).some(({ workflowTaskFailedEventAttributes: task }) => task != null);
    await waitFor('the workflow task to fail', failed, { timeoutMs: timeLimits.workflowState });
  });
  expect((await run.describe()).status.name).toBe('RUNNING');
  expect(cluster.calls.length).toBe(calls);
  await withBuild(await plainBundle(), cluster, async () => {
    await approveCutover(run);
    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
});

it('executes the plan as approved under a build with other defaults and other values', async () => {
  const cluster = fakeCluster({ nodes: ['a', 'b'] });
  const applied: { version: string; tunnelPort: unknown; routing: unknown }[] = [];
  const { applyHelmRelease } = cluster.activities;
  cluster.activities.applyHelmRelease = async (target) => {
    const { tunnelPort, routingMode } = target.values;
    applied.push({ version: target.version, tunnelPort, routing: routingMode });
    return applyHelmRelease(target);
  };
  const newer = await builds.build('other-defaults', [
    { file: 'model/input.ts', from: ".default('1.20.2')", to: ".default('1.21.0')" },
    { file: 'model/input.ts', from: '.default(8473)', to: '.default(8474)' },
    { file: 'model/helm-values.ts', from: "routingMode: 'tunnel',", to: "routingMode: 'native'," },
  ]);
  // A low limit: the newer build also continues the migration as new.
  const run = await startRun(
    server.env.client,
    taskQueue,
    { cluster: 'third', cleanup: 'automatic' },
    { historyLimit: 90 }
  );
  await withBuild(await plainBundle(), cluster, async () => {
    await approvePlan(run);
    await waitForPendingWait(run, 'approval of node a');
  });
  for (const node of ['a', 'b']) await run.signal(signal('approve'), { node });

  await withBuild(newer, cluster, async () => {
    await approveCutover(run);
    expect(await run.result()).toMatchObject({ phase: 'done' });
    expect(await run.query(planQuery)).toMatchObject({ target: { version: '1.20.2', tunnelPort: 8473 } });
  });

  const approved = { version: '1.20.2', tunnelPort: 8473, routing: 'tunnel' };
  expect(applied).toEqual([approved, approved, approved]);
  expect(cluster.broken).toEqual([]);
});
