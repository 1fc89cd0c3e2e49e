import path from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { heartbeat, cancelled } from '@temporalio/activity';
import { run as runProcess, waitFor } from '../../lab/process.ts';
import { loadCatalogue } from '../../lab/tools/catalogue.ts';
import { migrationWorkflowId, signal } from '../../workflows/messages.ts';
import { searchAttributes } from '../../workflows/search-attributes.ts';
import { extractCommands, pages } from '../support/docs.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import { approveCutover, type Run, unattendedRequest, waitForPendingWait } from '../support/migration-run.ts';
import { withKeys } from '../support/payloads.ts';
import { timeLimits } from '../support/time-limits.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** Commands of the runbooks, run by a shell as the page shows them; only the number of an event is replaced. */
const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());
afterEach(async () => {
  // Of a test that failed.
  await current()
    .terminate()
    .catch(() => undefined);
});

const taskQueue = 'cni-migration';
const workflowId = migrationWorkflowId('my-context');
const perNode = { cluster: 'my-context', cleanup: 'automatic' };

async function runbook(start: string, more = '', eventId = 17): Promise<string> {
  const page = (await pages()).find(({ file }) => file === path.join('docs', 'runbooks.md'));
  const commands = extractCommands(page!).filter((line) => line.startsWith(start) && line.includes(more));
  const command = commands[0];
  if (command === undefined) throw new Error(`no command ${start} ${more}`);
  const { bin } = await loadCatalogue();
  const env = {
    ...process.env,
    PATH: `${path.dirname(bin('temporal'))}:${process.env['PATH']}`,
    TEMPORAL_ADDRESS: server.env.address,
  };
  return runProcess('bash', ['-c', command.replace('--event-id 17', `--event-id ${eventId}`)], { env });
}

function withWorker(cluster: ReturnType<typeof fakeCluster>, test: () => Promise<void>): Promise<void> {
  return withKeys(server, taskQueue, undefined, cluster.activities, test);
}

function current(): Run {
  return server.env.client.workflow.getHandle(workflowId) as Run;
}

async function start(input: object): Promise<Run> {
  await server.env.client.workflow.start('clusterMigration', { taskQueue, workflowId, args: [input] });
  return current();
}

/** Returns the number of the last workflow task that has completed. */
async function lastCompletedTask(run: Pick<WorkflowHandle, 'fetchHistory'>): Promise<number> {
  const { events } = await run.fetchHistory();
  const completed = events?.findLast(({ workflowTaskCompletedEventAttributes: task }) => task != null);
  return Number(completed?.eventId ?? 0);
}

/** Blocks an activity until it is released or cancelled. */
function hold(step: string) {
  let reached = 0;
  let released = false;
  return {
    reached: () => reached,
    release: () => (released = true),
    before: async (activity: string): Promise<void> => {
      if (activity !== step || released) return;
      reached++;
      const beat = setInterval(() => heartbeat(), 50);
      const free = waitFor('the release', () => Promise.resolve(released), {
        timeoutMs: timeLimits.workflowState,
        pollIntervalMs: 20,
      });
      await Promise.race([cancelled(), free]).finally(() => clearInterval(beat));
    },
  };
}

it('rolls a cluster back that has no open migration', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  await withWorker(cluster, async () => {
    const first = await start(unattendedRequest);
    await first.terminate();

    await runbook('temporal workflow signal-with-start');

    expect(await current().result()).toMatchObject({ phase: 'rolled-back' });
  });
});

it('resets a run to an event without a signal that came later, while a node is in progress', async () => {
  const held = hold('cordonNode');
  const cluster = fakeCluster({ nodes: ['a', 'b'], before: held.before });
  await withWorker(cluster, async () => {
    const run = await start(perNode);
    await waitForPendingWait(run, 'approval of the plan');
    await run.signal(signal('approve'), { plan: true });
    await waitForPendingWait(run, 'approval of node a');
    const eventId = await lastCompletedTask(run);
    await run.signal(signal('approve'), { node: 'a' });
    await waitFor('the step', () => Promise.resolve(held.reached() > 0), { timeoutMs: timeLimits.workflowState });

    await runbook('temporal workflow reset', '--reapply-exclude Signal', eventId);

    await waitForPendingWait(current(), 'approval of node a');
    const child = server.env.client.workflow.getHandle(`${workflowId}/node/a`);
    expect((await child.describe()).status.name).toBe('RUNNING');
    held.release();
    await child.result();
    expect(cluster.calls).toContain('uncordonNode a');
    await current().signal(signal('approve'), { node: 'a' });
    await waitForPendingWait(current(), 'approval of node b');
    await current().signal(signal('approve'), { node: 'b' });

    await approveCutover(current());
    expect(await current().result()).toMatchObject({ phase: 'done' });
  });
});

it('resets a run to its last workflow task, and keeps its messages', async () => {
  const held = hold('cordonNode');
  const cluster = fakeCluster({ nodes: ['a'], before: held.before });
  await withWorker(cluster, async () => {
    const run = await start(perNode);
    await waitForPendingWait(run, 'approval of the plan');
    await run.signal(signal('approve'), { plan: true });
    await waitForPendingWait(run, 'approval of node a');
    const eventId = await lastCompletedTask(run);
    await run.signal(signal('approve'), { node: 'a' });
    await waitFor('the step', () => Promise.resolve(held.reached() > 0), { timeoutMs: timeLimits.workflowState });

    await runbook('temporal workflow reset', '--type LastWorkflowTask');
    const child = server.env.client.workflow.getHandle(`${workflowId}/node/a`);
    await runbook('temporal workflow reset', '--event-id', eventId);

    expect((await child.describe()).status.name).toBe('RUNNING');
    held.release();
    await approveCutover(current());
    expect(await current().result()).toMatchObject({ phase: 'done' });
  });
});

it('shows, holds and repeats a step that fails repeatedly', async () => {
  let broken = true;
  let attempts = 0;
  const cluster = fakeCluster({
    nodes: ['a'],
    before: (activity) => {
      if (activity !== 'applyHelmRelease' || !broken) return;
      attempts++;
      throw new Error('the registry does not answer');
    },
  });
  const attempt = (count: number): Promise<unknown> =>
    waitFor('an attempt', () => Promise.resolve(attempts >= count), { timeoutMs: timeLimits.workflowState });
  await withWorker(cluster, async () => {
    const run = await start({ ...unattendedRequest, cluster: 'my-context' });
    // The pause after the second attempt, and those after it, are Temporal's: it shows them.
    await attempt(3);

    expect(await runbook('temporal workflow describe')).toContain('the registry does not answer');
    expect(await runbook('temporal workflow show')).toContain('WorkflowTaskCompleted');
    await runbook('temporal activity pause');
    await runbook('temporal activity unpause');
    await attempt(4);
    await runbook('temporal activity reset');
    await attempt(5);
    broken = false;
    await runbook('temporal activity reset');

    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
});

it('finds what waits in every namespace', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  const { bin } = await loadCatalogue();
  const cli = (...args: string[]) => runProcess(bin('temporal'), ['--address', server.env.address, ...args]);
  await cli('operator', 'namespace', 'create', '--namespace', 'team-a');
  const names = Object.values(searchAttributes).flatMap(({ name }) => ['--name', name, '--type', 'Keyword']);
  await cli('operator', 'search-attribute', 'create', '--namespace', 'team-a', ...names);
  await withWorker(cluster, async () => {
    const run = await start(perNode);
    await waitForPendingWait(run, 'approval of the plan');
    const listed = async (): Promise<boolean> => (await runbook('for namespace in')).includes(workflowId);
    await waitFor('the run to be listed', listed, { timeoutMs: timeLimits.workflowState });

    expect(await runbook('temporal operator namespace list')).toContain('team-a');
    await run.terminate();
  });
});
