import { randomUUID } from 'node:crypto';
import { Client } from '@temporalio/client';
import type { temporal } from '@temporalio/proto';
import { Worker } from '@temporalio/worker';
import { Migration, UnreadableAnswerError } from '../../client/index.ts';
import { dataConverter } from '../../temporal/data-converter.ts';
import { waitFor } from '../../lab/process.ts';
import type { EncryptionKeys } from '../../temporal/keys.ts';
import { replayOptions } from '../../worker/replay.ts';
import { signal, statusQuery, update } from '../../workflows/messages.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import {
  approveCutover,
  type Run,
  startRun,
  unattendedRequest,
  waitForMigrationStatus,
  waitForPendingWait,
} from '../support/migration-run.ts';
import {
  encryptedPayload,
  rawPayload,
  signalRaw,
  taskFailures,
  testKeys,
  waitForTaskFailure,
  withKeys,
} from '../support/payloads.ts';
import { timeLimits } from '../support/time-limits.ts';
import { plainBundle, WorkflowServer } from '../support/workflow-server.ts';

/** Encryption keys that are rotated, missing or wrong while a migration is open. */
const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

const perNode = { cluster: 'prod', cleanup: 'automatic' };
const [k1, k2, both] = [testKeys('k1'), testKeys('k2'), testKeys('k2', 'k1')];

/** Returns a client with keys, and the same run through it. */
function through(keys: EncryptionKeys | undefined, run: Run): Run {
  const client = new Client({ connection: server.env.connection, dataConverter: dataConverter(keys) });
  return client.workflow.getHandle(run.workflowId) as Run;
}

async function replay(run: Run, keys: EncryptionKeys): Promise<void> {
  const { workflowId } = run;
  const options = { workflowBundle: await plainBundle(), dataConverter: dataConverter(keys) };
  await Worker.runReplayHistory(options, await run.fetchHistory(), workflowId);
}

it('notes messages with a new key until the worker has it, also in every later replay', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  const taskQueue = randomUUID();
  let run: Run | undefined;
  await withKeys(server, taskQueue, k1, cluster.activities, async (client) => {
    run = await startRun(client, taskQueue, perNode);
    await waitForPendingWait(run, 'approval of the plan');
    // The operator's key file is the first that has the new key.
    const operator = through(both, run);
    await operator.signal(signal('approve'), { plan: true });
    await expect(operator.executeUpdate(update('approve'), { args: [{ plan: true }] })).rejects.toThrow();

    const { notes, phase } = await waitForMigrationStatus(run, (status) => status.notes.length > 0);

    expect(phase).toBe('plan');
    expect(notes.join()).toContain('the message: is encrypted with the key "k2", which is not in the key file; ');
  });
  await withKeys(server, taskQueue, both, cluster.activities, async () => {
    const operator = through(both, run!);
    // The new worker replays the run, and can now decrypt the signal that was ignored.
    await run!.signal(signal('pause'), {});
    const { notes, phase, waitingFor } = await waitForMigrationStatus(operator, ({ paused }) => paused !== undefined);
    expect({ phase, waitingFor }).toMatchObject({ phase: 'plan' });
    expect(notes.join()).toContain('was encrypted with a key that the worker lacked when it arrived; send it again');

    await run!.signal(signal('resume'), {});
    await operator.signal(signal('approve'), { plan: true });
    await waitForPendingWait(operator, 'approval of node a');
    expect(await operator.executeUpdate(update('approve'), { args: [{ node: 'a' }] })).toContain('a');
    await approveCutover(operator);
    expect(await operator.result()).toMatchObject({ phase: 'done' });
  });
  expect(await taskFailures(run!)).toEqual([]);
  await replay(run!, both);
  await expect(replay(run!, k1)).rejects.toThrow();
});

it('reads a message with a new key after the run was reset to a point before it', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  const taskQueue = randomUUID();
  let run: Run | undefined;
  let finished: temporal.api.history.v1.IHistoryEvent | undefined;
  await withKeys(server, taskQueue, k1, cluster.activities, async (client) => {
    run = await startRun(client, taskQueue, perNode);
    await waitForPendingWait(run, 'approval of the plan');
    const { events } = await run.fetchHistory();
    finished = events?.findLast(({ workflowTaskCompletedEventAttributes: task }) => task != null);
    await through(both, run).signal(signal('approve'), { plan: true });
    await waitForMigrationStatus(run, ({ notes }) => notes.length > 0);
  });
  await server.env.client.workflowService.resetWorkflowExecution({
    namespace: 'default',
    workflowExecution: { workflowId: run!.workflowId },
    workflowTaskFinishEventId: finished!.eventId!,
    requestId: randomUUID(),
    reason: 'the worker has the key',
  });
  await withKeys(server, taskQueue, both, cluster.activities, async () => {
    const operator = through(both, run!);

    const { notes } = await waitForPendingWait(operator, 'approval of node a');

    expect(notes).toEqual([]);
    await operator.terminate();
  });
});

it('does not report an answer that it cannot read as a message that had no effect', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  const taskQueue = randomUUID();
  await withKeys(server, taskQueue, k1, cluster.activities, async (client) => {
    const run = await startRun(client, taskQueue, perNode);
    await waitForPendingWait(run, 'approval of the plan');
    const { workflowId } = run;
    const migration = new Migration(server.env.client, 'prod', { workflowId });

    const approved = await migration.approve({ plan: true }).catch((error: unknown) => error);

    expect(approved).toBeInstanceOf(UnreadableAnswerError);
    await waitForPendingWait(run, 'approval of node a');
    const history = await run.fetchHistory();
    const replayed = Worker.runReplayHistory(await replayOptions(k2), history, workflowId);
    await expect(replayed).rejects.toThrow('is encrypted with the key \\"k1\\", which is not in the key file');
    await run.terminate();
  });
});

it('reports why a payload could not be decrypted', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  const taskQueue = randomUUID();
  await withKeys(server, taskQueue, k1, cluster.activities, async (client) => {
    const run = await startRun(client, taskQueue, perNode);
    await waitForPendingWait(run, 'approval of the plan');
    const damaged = await encryptedPayload('k1', { plan: true });
    damaged.data![40]! ^= 1;
    const short = { ...damaged, data: Buffer.from('x') };
    const other = { ...(await encryptedPayload('k2', {})), metadata: damaged.metadata! };
    const inner = await encryptedPayload('k2', {});
    const payloads = [damaged, short, other, { ...damaged, data: null }, inner, rawPayload('x/y', '{}')];
    for (const payload of payloads) await signalRaw(client, run, 'approve', [payload]);

    const { notes } = await waitForMigrationStatus(run, (status) => status.notes.length === payloads.length);

    const wrong = 'is encrypted with the key "k1", but was modified, or that is not the key that encrypted it';
    for (const [index, problem] of [wrong, wrong, wrong, wrong, 'key "k2", which', 'encoding "x/y"'].entries()) {
      expect(notes[index]).toContain(problem);
    }
    expect(await taskFailures(run)).toEqual([]);
    await run.terminate();
  });
});

it('stops at what an earlier worker could read, until a worker has the key again', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  const taskQueue = randomUUID();
  let run: Run | undefined;
  await withKeys(server, taskQueue, both, cluster.activities, async () => {
    // The start is plain; the results of activities and an accepted signal are encrypted with k2.
    run = await startRun(server.env.client, taskQueue, perNode);
    const operator = through(both, run);
    await waitForPendingWait(operator, 'approval of the plan');
    await operator.signal(signal('approve'), { plan: true });
    await waitForPendingWait(operator, 'approval of node a');
  });
  const calls = cluster.calls.length;
  await run!.signal(signal('approve'), { node: 'a' });
  await withKeys(server, taskQueue, k1, cluster.activities, async () => {
    expect(await waitForTaskFailure(run!)).toContain('is encrypted with the key "k2", which is not in the key file');
  });
  expect((await run!.describe()).status.name).toBe('RUNNING');
  expect(cluster.calls.length).toBe(calls);
  await withKeys(server, taskQueue, both, cluster.activities, async () => {
    const operator = through(both, run!);
    await approveCutover(operator);
    expect(await operator.result()).toMatchObject({ phase: 'done' });
  });
});

it('does not use carried state that it cannot read', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  const taskQueue = randomUUID();
  let run: Run | undefined;
  await withKeys(server, taskQueue, k2, cluster.activities, async () => {
    // Continues as new repeatedly.
    run = await startRun(server.env.client, taskQueue, unattendedRequest, { historyLimit: 1 });
    const { firstExecutionRunId } = run;
    const isContinued = async (): Promise<boolean> => (await run!.describe()).runId !== firstExecutionRunId;
    await waitFor('the run to continue as new', isContinued, { timeoutMs: timeLimits.workflowState });
  });
  const latest = server.env.client.workflow.getHandle(run!.workflowId);
  await withKeys(server, taskQueue, k1, cluster.activities, async () => {
    expect(await waitForTaskFailure(latest)).toContain(
      'cannot read the input that an earlier worker has read or written'
    );
  });
  expect((await latest.describe()).status.name).toBe('RUNNING');
  await latest.terminate();
});

it('gives a client without the key an error instead of content', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  const taskQueue = randomUUID();
  await withKeys(server, taskQueue, k2, cluster.activities, async (client) => {
    const run = await startRun(client, taskQueue, perNode);
    await waitForPendingWait(run, 'approval of the plan');

    await expect(through(undefined, run).query(statusQuery)).rejects.toThrow(
      'cannot read a payload: it is encrypted with the key "k2", and no keys are configured; CNI_MIGRATION_KEYS has to'
    );
    await expect(through(k1, run).query(statusQuery)).rejects.toThrow('"k2", which is not in the key file');
    await run.terminate();
  });
});
