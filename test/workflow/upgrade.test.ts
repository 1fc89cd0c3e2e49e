import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DefaultLogger, Worker, bundleWorkflowCode } from '@temporalio/worker';
import { payloadConverterPath } from '../../temporal/data-converter.ts';
import { projectDir } from '../../lab/paths.ts';
import { waitFor } from '../../lab/process.ts';
import { bundleOptions, plain } from '../../worker/bundle.ts';
import { signal } from '../../workflows/messages.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import { approvePlan, startRun, waitForPendingWait } from '../support/migration-run.ts';
import { timeLimits } from '../support/time-limits.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** A worker is replaced by one of a newer build while a migration waits, as `docs/operating.md` describes. */
const server = new WorkflowServer();
const taskQueue = 'upgrade';
let folder: string;
beforeAll(async () => {
  await server.start();
  // Outside the project: a run that is killed leaves nothing that the next one checks.
  folder = await mkdtemp(path.join(tmpdir(), 'cni-tests-upgrade-'));
  for (const name of ['node_modules', 'package.json'])
    await symlink(path.join(projectDir, name), path.join(folder, name));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
  await server.stop();
});

const here = bundleOptions(plain);

/** Creates another build: the workflows with one more line, which precedes a given line of the cluster's workflow. */
async function build(name: string, before: string, more: string): Promise<typeof here> {
  const copy = path.join(folder, name);
  for (const source of ['workflows', 'model', 'temporal'])
    await cp(path.join(projectDir, source), path.join(copy, source), { recursive: true });
  const file = path.join(copy, 'workflows', 'cluster', 'cluster-migration.ts');
  const text = await readFile(file, 'utf8');
  if (text.split(before).length !== 2) throw new Error(`"${before}" is not there once`);
  const imported = text.replace('  allHandlersFinished,', '  allHandlersFinished,\n  patched,');
  await writeFile(file, imported.replace(before, `${more}\n${before}`));
  return { ...here, workflowsPath: path.join(copy, 'workflows', 'index.ts') };
}

async function withBuild(paths: typeof here, cluster: ReturnType<typeof fakeCluster>, work: () => Promise<void>) {
  const bundle = await bundleWorkflowCode({ ...paths, logger: new DefaultLogger('ERROR') });
  const worker = await Worker.create({
    connection: server.env.nativeConnection,
    taskQueue,
    workflowBundle: bundle,
    activities: cluster.activities,
    dataConverter: { payloadConverterPath },
  });
  await worker.runUntil(work);
}

const cutover = "    await run('requireAllPodsOnTarget', 'check that no pod is on Canal', {";

it('is continued by a newer compatible build, and ends', async () => {
  const cluster = fakeCluster({ nodes: ['a', 'b'] });
  const newer = await build('newer', cutover, "    if (patched('look-again')) await this.nodes.refresh();");
  const run = await startRun(server.env.client, taskQueue, { cluster: 'prod', cleanup: 'automatic' });
  await withBuild(here, cluster, async () => {
    await approvePlan(run);
    await waitForPendingWait(run, 'approval of node a');
    await run.signal(signal('approve'), { node: 'a' });
    await waitForPendingWait(run, 'approval of node b');
  });
  // No worker runs; messages that are sent now wait.
  await run.signal(signal('approve'), { node: 'b', by: 'ann' });
  await withBuild(newer, cluster, async () => {
    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
  const { events } = await run.fetchHistory();
  expect(events?.some(({ markerRecordedEventAttributes: marker }) => marker != null)).toBe(true);
});

it('stops under an incompatible build without harm, and continues with a compatible one', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  const planning = '      await this.runInterruptible(() => this.makePlan(canal));';
  const broken = await build('broken', planning, '      await this.nodes.refresh();');
  const run = await startRun(server.env.client, taskQueue, { cluster: 'other', cleanup: 'automatic' });
  await withBuild(here, cluster, async () => {
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
  await withBuild(here, cluster, async () => {
    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
});
