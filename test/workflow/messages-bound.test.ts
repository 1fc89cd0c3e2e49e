import { randomUUID } from 'node:crypto';
import { Client } from '@temporalio/client';
import { dataConverter } from '../../temporal/data-converter.ts';
import { computeNodeIdSecret, type EncryptionKeys } from '../../temporal/keys.ts';
import { createRequestActivities } from '../../activities/plan/resolve-request.ts';
import { nodeWorkflowId, signal, update } from '../../workflows/messages.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import {
  approveCutover,
  type Run,
  startRun,
  waitForMigrationStatus,
  waitForPendingWait,
} from '../support/migration-run.ts';
import { encryptedPayload, signalRaw, startRaw, taskFailures, testKeys, withKeys } from '../support/payloads.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** Messages that were encrypted for another workflow, or not encrypted although that is required. */
const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

const perNode = { cluster: 'prod', cleanup: 'automatic' };
const keys = testKeys('k1');

/** Returns the payloads of a run's signals, as everyone who may read its history can copy them. */
async function copySignals(run: Run) {
  const { events } = await run.fetchHistory();
  return (events ?? []).flatMap(({ workflowExecutionSignaledEventAttributes: sent }) => sent?.input?.payloads ?? []);
}

it('does not apply an approval that was copied from the history of another migration', async () => {
  const taskQueue = randomUUID();
  const { activities } = fakeCluster({ nodes: ['a'] });
  await withKeys(server, taskQueue, keys, activities, async (client) => {
    const [approved, attacked] = await Promise.all([1, 2].map(() => startRun(client, taskQueue, perNode)));
    await Promise.all([approved!, attacked!].map((run) => waitForPendingWait(run, 'approval of the plan')));
    await approved!.signal(signal('approve'), { plan: true });
    await waitForPendingWait(approved!, 'approval of node a');

    await signalRaw(client, attacked!, 'approve', await copySignals(approved!));
    const { notes, phase } = await waitForMigrationStatus(attacked!, (status) => status.notes.length > 0);

    expect(phase).toBe('plan');
    expect(notes.join()).toContain('approve was ignored: the message: is encrypted for another workflow or activity');
    await Promise.all([approved!, attacked!].map((run) => run.terminate()));
  });
});

describe('a worker that requires encryption', () => {
  const plain = (run: Run): Run =>
    new Client({ connection: server.env.connection, dataConverter: dataConverter(undefined) }).workflow.getHandle(
      run.workflowId
    ) as Run;
  const withRequirement = async (
    required: EncryptionKeys['require'],
    test: (client: Client, taskQueue: string) => Promise<void>
  ): Promise<void> => {
    const taskQueue = randomUUID();
    const { activities } = fakeCluster({ nodes: ['a'] });
    await withKeys(server, taskQueue, { ...keys, require: required }, activities, (client) => test(client, taskQueue));
  };

  it('applies no message that is not encrypted, also none without any content', async () => {
    await withRequirement('encrypted', async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, perNode);
      await waitForPendingWait(run, 'approval of the plan');

      await plain(run).signal(signal('approve'), { plan: true });
      await signalRaw(client, run, 'abort', []);
      await expect(plain(run).executeUpdate(update('approve'), { args: [{ plan: true }] })).rejects.toThrow();
      await expect(plain(run).executeUpdate('abort')).rejects.toThrow();
      const { notes, phase } = await waitForMigrationStatus(run, (status) => status.notes.length > 1);

      expect(phase).toBe('plan');
      expect(notes.join('\n')).toContain(
        'approve was ignored: the message: is not encrypted, and this process requires'
      );
      expect(notes.join('\n')).toContain('abort was ignored: the message: has no payload, so it is not encrypted');
      await run.executeUpdate(update('approve'), { args: [{ plan: true }] });
      await waitForPendingWait(run, 'approval of node a');
      expect(await taskFailures(run)).toEqual([]);
      await run.terminate();
    });
  });

  it('starts no workflow with an input that is not encrypted', async () => {
    await withRequirement('encrypted', async (client, taskQueue) => {
      const started = await plain((await startRaw(client, taskQueue, 'clusterMigration', [])) as Run).describe();
      const run = await new Client({ connection: server.env.connection }).workflow.start('clusterMigration', {
        ...{ taskQueue, workflowId: randomUUID(), args: [{ cluster: 'prod' }] },
      });

      await expect(client.workflow.getHandle(run.workflowId).result()).rejects.toMatchObject({
        cause: { type: 'InvalidInput' },
      });
      await expect(client.workflow.getHandle(started.workflowId).result()).rejects.toMatchObject({
        cause: { type: 'InvalidInput' },
      });
    });
  });

  it('applies no message that is encrypted for any workflow, where messages must be bound', async () => {
    await withRequirement('bound', async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, perNode);
      await waitForPendingWait(run, 'approval of the plan');

      await signalRaw(client, run, 'approve', [await encryptedPayload('k1', { plan: true })]);
      const { notes, phase } = await waitForMigrationStatus(run, (status) => status.notes.length > 0);

      expect(phase).toBe('plan');
      expect(notes.join()).toContain('is not encrypted for this workflow');
      await run.terminate();
    });
  });
});

it('completes a migration with bound payloads, and Temporal sees no name of a node', async () => {
  const taskQueue = randomUUID();
  const node = 'worker-secret-name';
  const bound = { ...keys, require: 'bound' as const };
  const secret = computeNodeIdSecret(bound);
  const activities = {
    ...fakeCluster({ nodes: [node] }).activities,
    resolveRequest: createRequestActivities(secret).resolveRequest,
  };
  await withKeys(server, taskQueue, bound, activities, async (client) => {
    const run = await startRun(client, taskQueue, perNode);
    await waitForPendingWait(run, 'approval of the plan');
    await run.executeUpdate(update('approve'), { args: [{ plan: true }] });
    await waitForPendingWait(run, `approval of node ${node}`);
    await run.executeUpdate(update('approve'), { args: [{ node }] });
    await approveCutover(run);

    expect(await run.result()).toMatchObject({ phase: 'done' });

    const child = client.workflow.getHandle(nodeWorkflowId(run.workflowId, node, secret));
    const histories = await Promise.all([run, child].map((handle) => handle.fetchHistory()));
    const descriptions = await Promise.all([run, child].map((handle) => handle.describe()));
    const stored = JSON.stringify([histories, descriptions.map(({ raw }) => raw)]);
    expect(stored).toContain('CniWaitingFor');
    expect(stored).not.toContain(node);
    // As in search attributes, bytes are base64 in JSON; in each of three alignments.
    for (const prefix of ['', 'x', 'xx']) {
      const encoded = Buffer.from(prefix + node)
        .toString('base64')
        .slice(4, -4);
      expect(stored).not.toContain(encoded);
    }
    expect(await taskFailures(run)).toEqual([]);
  });
});
