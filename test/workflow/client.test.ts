import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { WorkflowExecutionAlreadyStartedError, WorkflowUpdateFailedError } from '@temporalio/client';
import {
  Migration,
  NoAnswerError,
  NoWorkerError,
  approveSignal,
  approveUpdate,
  migrationWorkflowId,
  startMigration,
  statusQuery,
} from '../../client/index.ts';
import { projectDir } from '../../lab/paths.ts';
import { run } from '../../lab/process.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import { waitForQueryResult } from '../support/migration-run.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

it('starts a migration once, controls it, and waits for its end', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const migration = await startMigration(client, { cluster: 'prod', approval: 'every-wave' }, { taskQueue });
    await expect(startMigration(client, { cluster: 'prod' }, { taskQueue })).rejects.toThrow(
      WorkflowExecutionAlreadyStartedError
    );
    await waitForQueryResult(
      () => migration.plan(),
      (plan) => plan !== undefined
    );
    expect(await migration.status()).toMatchObject({ cluster: 'prod', phase: 'plan' });
    // The text that the Web UI shows as current details.
    const handle = client.workflow.getHandle(migrationWorkflowId('prod'));
    await waitForQueryResult(
      () => migration.status(),
      ({ waitingFor }) => waitingFor !== undefined
    );
    const { currentDetails } = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata');
    expect(currentDetails).toContain('Waiting for approval of the plan');
    expect(currentDetails).toMatch(
      /temporal workflow update execute --workflow-id 'cni-migration\/prod' --name approve --input '{"plan":"[0-9a-f]{64}","by":"YOUR NAME"}'/
    );
    await expect(migration.approve({ cleanup: true })).rejects.toThrow(WorkflowUpdateFailedError);
    expect(await migration.approve({ plan: true, by: 'ann' })).toBe('the plan is approved');
    expect(await migration.approve({ wave: 1 })).toBe('wave 1 is approved');
    expect(await migration.blockers()).toEqual([]);
    const waitForPhase = (name: string) =>
      waitForQueryResult(
        () => migration.status(),
        ({ phase }) => phase === name
      );
    await waitForPhase('cutover');
    expect(await migration.approve({ cutover: true })).toBe('the cutover is approved');
    await waitForPhase('cleanup');
    await migration.approve({ cleanup: true });
    expect(await migration.result()).toMatchObject({ phase: 'done' });
  });
});

it('has constants for clients that use the client of Temporal directly', async () => {
  await server.withWorker(fakeCluster({ nodes: ['a'] }).activities, async (client, taskQueue) => {
    const { workflowId } = await startMigration(client, { cluster: 'direct' }, { taskQueue });
    const handle = client.workflow.getHandle(workflowId);
    await waitForQueryResult(
      () => handle.query(statusQuery),
      ({ waitingFor }) => waitingFor !== undefined
    );

    expect(await handle.executeUpdate(approveUpdate, { args: [{ plan: true }] })).toBe('the plan is approved');
    await handle.signal(approveSignal, { node: 'a' });

    await waitForQueryResult(
      () => handle.query(statusQuery),
      ({ phase }) => phase === 'cutover'
    );
    await handle.terminate();
  });
});

it('finds a run by its cluster before a worker has executed it', async () => {
  const { client } = server.env;
  const { workflowId } = await startMigration(client, { cluster: 'early' }, { taskQueue: randomUUID() });

  const { searchAttributes } = await client.workflow.getHandle(workflowId).describe();

  expect(searchAttributes).toMatchObject({ CniCluster: ['early'] });
});

it('reports a missing worker, and sends nothing', async () => {
  const { client } = server.env;
  const taskQueue = randomUUID();
  await startMigration(client, { cluster: 'alone' }, { taskQueue });
  const migration = new Migration(client, 'alone', { timeoutMs: 1_000 });

  const outcomes = await Promise.allSettled([migration.status(), migration.approve({ plan: true })]);

  for (const outcome of outcomes) {
    expect(outcome).toMatchObject({ status: 'rejected', reason: expect.any(NoWorkerError) as Error });
  }
});

it('reports a worker that does not answer, and that the message may still take effect', async () => {
  const { client } = server.env;
  await server.withWorker(fakeCluster({ nodes: ['a'] }).activities, async (_client, taskQueue) => {
    const started = await startMigration(client, { cluster: 'gone' }, { taskQueue });
    await waitForQueryResult(
      () => started.status(),
      ({ waitingFor }) => waitingFor !== undefined
    );
  });
  const migration = new Migration(client, 'gone', { timeoutMs: 1_000 });

  const [status, approved] = await Promise.allSettled([migration.status(), migration.approve({ plan: true })]);

  for (const outcome of [status, approved]) {
    expect(outcome).toMatchObject({ status: 'rejected', reason: expect.any(NoAnswerError) as Error });
  }
  expect(status).toMatchObject({ reason: { mayTakeEffect: false } });
  expect(approved).toMatchObject({ reason: { mayTakeEffect: true } });
});

it('runs the example of the documentation, in a project that links this one', async () => {
  const page = await readFile(path.join(projectDir, 'docs/client.md'), 'utf8');
  const [, example = ''] = /^```ts\n([\s\S]*?)^```$/m.exec(page) ?? [];
  const dir = await mkdtemp(path.join(tmpdir(), 'cni-client-'));
  try {
    await mkdir(path.join(dir, 'node_modules'));
    await symlink(projectDir, path.join(dir, 'node_modules', 'cni-live-migration'));
    await server.withWorker(fakeCluster({ nodes: ['a'] }).activities, async (_client, taskQueue) => {
      const file = path.join(dir, 'example.ts');
      await writeFile(file, example.replace("'canary-only' }", `'canary-only' }, { taskQueue: '${taskQueue}' }`));
      const env = { ...process.env, TEMPORAL_ADDRESS: server.env.address };

      const printed = await run(process.execPath, [file], { cwd: dir, env });

      expect(printed).toBe('waiting for approval of the plan (query "plan")\nthe plan is approved\n');
    });
  } finally {
    await rm(dir, { recursive: true });
  }
});
