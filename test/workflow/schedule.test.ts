import { run as runCommand, waitFor } from '../../lab/process.ts';
import { loadCatalogue } from '../../lab/tools/catalogue.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import { timeLimits } from '../support/time-limits.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** Temporal's schedules, with the commands of docs/operating.md. */
const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

async function temporal(...args: string[]): Promise<string> {
  return runCommand((await loadCatalogue()).bin('temporal'), ['--address', server.env.address, ...args]);
}

async function listRuns(schedule: string): Promise<string[]> {
  const query = `TemporalScheduledById = "${schedule}"`;
  const runs = JSON.parse(await temporal('workflow', 'list', '--query', query, '-o', 'json')) as {
    execution: { workflowId: string };
  }[];
  return runs.map(({ execution }) => execution.workflowId);
}

/** Returns how often a schedule started nothing because its last run was open. */
async function skippedBy(schedule: string): Promise<number> {
  const description = JSON.parse(await temporal('schedule', 'describe', '--schedule-id', schedule, '-o', 'json')) as {
    info: { overlapSkipped?: string };
  };
  return Number(description.info.overlapSkipped ?? 0);
}

it('starts a migration once when a window opens, and checks a cluster every night', async () => {
  await server.withWorker(fakeCluster({ nodes: ['a'] }).activities, async (client, taskQueue) => {
    const action = ['--task-queue', taskQueue, '--input', '{"cluster": "prod"}'];
    const window = ['--schedule-id', 'window', '--workflow-id', 'cni-migration/prod', '--type', 'clusterMigration'];
    const skip = ['--overlap-policy', 'Skip'];
    await temporal('schedule', 'create', ...window, ...action, ...skip, '--calendar', '{"dayOfWeek":"6","hour":"22"}');
    const night = ['--schedule-id', 'night', '--workflow-id', 'cni-preflight/prod', '--type', 'clusterPreflight'];
    await temporal('schedule', 'create', ...night, ...action, ...skip, '--cron', '0 3 * * *');
    for (const schedule of ['window', 'night']) {
      await temporal('schedule', 'trigger', '--schedule-id', schedule);
      await waitFor('its run', async () => (await listRuns(schedule)).length === 1, {
        timeoutMs: timeLimits.workflowState,
      });
    }
    const [migration = ''] = await listRuns('window');
    const [checks = ''] = await listRuns('night');
    expect(await client.workflow.getHandle(checks).result()).toMatchObject({ mayStart: true });
    // Still open: it waits for the approval of its plan.
    await temporal('schedule', 'trigger', '--schedule-id', 'window');
    await waitFor('the schedule to skip it', async () => (await skippedBy('window')) === 1, {
      timeoutMs: timeLimits.workflowState,
    });
    expect(await listRuns('window')).toEqual([migration]);
    expect((await client.workflow.getHandle(migration).describe()).status.name).toBe('RUNNING');
    await client.workflow.getHandle(migration).terminate();
    for (const schedule of ['window', 'night']) await temporal('schedule', 'delete', '--schedule-id', schedule);
  });
});
