import { randomUUID } from 'node:crypto';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import { initialState, type MigrationState } from '../../model/migration-state.ts';
import { statusQuery, signal } from '../../workflows/messages.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import {
  startRun,
  unattendedRequest,
  waitForFailure,
  waitForMigrationStatus,
  waitForPendingWait,
} from '../support/migration-run.ts';
import { encryptedPayload, rawPayload, signalRaw, startRaw, taskFailures, updateRaw } from '../support/payloads.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** Payloads that nobody can use, sent by any client: none may block a migration. */
const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

const json = (value: unknown): Payload => defaultPayloadConverter.toPayload(value);
const forged = { by: 'ann', reason: 'CHG-4711', at: '2026-01-01T00:00:00.000Z' };
const approvedState: MigrationState = {
  ...initialState(),
  preflight: [],
  status: { ...initialState().status, approvals: { plan: forged, cleanup: forged } },
};
const nested = (depth: number): string => '{"a":'.repeat(depth) + '1' + '}'.repeat(depth);

/** Payloads with the problem that the worker, which has no keys, reports for each. */
const unusable: [title: string, payloads: () => Payload[] | Promise<Payload[]>, problem: string][] = [
  ['text that is not valid JSON', () => [rawPayload('json/plain', '{"plan": ')], 'is not valid JSON'],
  ['no content', () => [rawPayload('json/plain')], 'is not valid JSON'],
  ['an unknown encoding', () => [rawPayload('x/y\u202e', '{}')], 'has the encoding "x/y\ufffd"; send JSON'],
  ['Protobuf as JSON', () => [rawPayload('json/protobuf', '{}')], 'has the encoding "json/protobuf"; send JSON'],
  ['Protobuf', () => [rawPayload('binary/protobuf', '\u0001')], 'has the encoding "binary/protobuf"; send JSON'],
  ['bytes', () => [rawPayload('binary/plain', 'x'.repeat(500_000))], 'is binary; send JSON'],
  ['no metadata', () => [{ data: Buffer.from('{}') }], 'has no encoding; send JSON'],
  [
    'encryption',
    async () => [await encryptedPayload('k2', { plan: true })],
    'is encrypted with the key "k2", and no keys are configured',
  ],
  [
    'encryption without a key',
    () => [rawPayload('binary/encrypted', 'x')],
    'is encrypted with the key "", and no keys',
  ],
  ['too many levels', () => [rawPayload('json/plain', nested(100_000))], 'nested deeper than 30 levels'],
  ['a reserved name', () => [rawPayload('json/plain', '{"__proto__": {"plan": true}}')], 'reserved name'],
  ['an imitated mark', () => [json({ problem: 'x', dependsOnKeys: true })], 'Unrecognized key'],
  ['null twice', () => [json(null), json(null)], 'a message has one input, and this one has 2'],
];

it('are noted as signals and refused as updates, and the migration continues', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { ...unattendedRequest, cleanup: 'approve' });
    await waitForPendingWait(run, 'approval of the cleanup');
    const refusals: (string | undefined)[] = [];
    for (const [, payloads] of unusable) {
      await signalRaw(client, run, 'approve', await payloads());
      refusals.push(await updateRaw(client, run, 'approve', await payloads()));
    }

    const { notes } = await waitForMigrationStatus(run, (status) => status.notes.length >= unusable.length);
    await run.signal(signal('approve'), { cleanup: true });
    const { phase } = await run.result();

    expect(notes).toEqual(unusable.map(([, , problem]) => expect.stringContaining(problem) as string));
    expect(refusals).toEqual(unusable.map(([, , problem]) => expect.stringContaining(problem) as string));
    expect(notes.every((note) => note.startsWith('approve was ignored: ') && note.length < 400)).toBe(true);
    expect(phase).toBe('done');
    expect(await taskFailures(run)).toEqual([]);
  });
});

it.each(unusable)('with %s fail the start of every workflow as InvalidInput', async (_title, payloads) => {
  const cluster = fakeCluster();
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    for (const type of ['clusterMigration', 'clusterPreflight', 'clusterPolicyReport', 'fleetMigration']) {
      const run = await startRaw(client, taskQueue, type, await payloads());

      expect(await waitForFailure(run)).toMatchObject({ type: 'InvalidInput' });
      expect(await taskFailures(run)).toEqual([]);
    }
  });
  expect(cluster.calls).toEqual([]);
});

it('refuse a second input, and the start of a workflow that only migrations start', async () => {
  const cluster = fakeCluster();
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    for (const [type, inputs, message] of [
      ['clusterMigration', [json({ cluster: 'prod' }), json(7)], 'has one input, but it was started with 2'],
      // A state of a previous run, which approves everything.
      ['clusterMigration', [json({ cluster: 'prod' }), json(approvedState)], 'has one argument, the request'],
      ['clusterMigration', [json({ cluster: 'prod' }), rawPayload('x/y')], 'the input: has the encoding "x/y"'],
      ['nodeMigration', [json(7)], 'start clusterMigration instead'],
      ['nodeRollback', [], 'start clusterMigration instead'],
    ] as const) {
      const run = await startRaw(client, taskQueue, type, [...inputs]);
      const failure = await waitForFailure(run);

      expect(failure).toMatchObject({ type: 'InvalidInput', nonRetryable: true });
      expect(failure.message).toContain(message);
    }
  });
  expect(cluster.calls).toEqual([]);
});

it('do not reach the handlers of signals between workflows', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { ...unattendedRequest, cleanup: 'approve' });
    await waitForPendingWait(run, 'approval of the cleanup');
    const progress = [null, 7, {}, { node: 'a', blockers: 7 }, { node: 'a', blockers: [], waitingFor: {} }].map(json);
    for (const payload of [...progress, rawPayload('x/y'), await encryptedPayload('k2', {})]) {
      await signalRaw(client, run, 'nodeProgress', [payload]);
    }
    await signalRaw(client, run, 'nodeProgress', []);

    await run.signal(signal('approve'), { cleanup: true });
    const { phase, nodes } = await run.result();

    expect(phase).toBe('done');
    expect(nodes).toEqual([expect.not.objectContaining({ waitingFor: expect.anything() as unknown })]);
    expect(await taskFailures(run)).toEqual([]);
  });
});

it('do not disturb queries', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { ...unattendedRequest, cleanup: 'approve' });
    await waitForPendingWait(run, 'approval of the cleanup');
    const query = (queryArgs: Payload[], queryType = 'node') =>
      client.workflowService.queryWorkflow({
        namespace: 'default',
        execution: { workflowId: run.workflowId },
        query: { queryType, queryArgs: { payloads: queryArgs } },
      });

    for (const [, payloads] of unusable) await query(await payloads());

    await expect(query([], 'stats')).rejects.toThrow(/Registered queries: \[.*status/);
    expect((await run.query(statusQuery)).phase).toBe('cleanup');
    await run.terminate();
  });
});

it('of unknown or reserved signals become notes with the names that exist', async () => {
  const cluster = fakeCluster({ nodes: ['a'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const workflowId = randomUUID();
    // With signals that arrive before the first task, and so before the handlers.
    await client.workflow.signalWithStart('clusterMigration', {
      taskQueue,
      workflowId,
      args: [{ ...unattendedRequest, cleanup: 'approve' }],
      signal: 'aprove',
      signalArgs: [{ plan: true }],
    });
    const run = await startRun(client, taskQueue, { ...unattendedRequest, cleanup: 'approve' });
    await waitForPendingWait(run, 'approval of the cleanup');
    for (const name of ['__temporal_x', '__stack_trace', `${'y'.repeat(300)}\u202e`, 'RolBack']) {
      await signalRaw(client, run, name, [rawPayload('x/y')]);
    }

    const early = client.workflow.getHandle(workflowId);
    const { notes } = await waitForMigrationStatus(run, (status) => status.notes.length >= 4);
    const earlyNotes = (await early.query(statusQuery)).notes;

    expect(earlyNotes).toEqual([expect.stringMatching(/^the signal "aprove" was ignored: there are approve, /)]);
    expect(notes[0]).toContain('__temporal_x');
    expect(notes[1]).toContain('"__stack_trace" was ignored');
    expect(notes[2]).toMatch(/^the signal "y{100}" was ignored/);
    expect(notes[3]).toMatch(/"RolBack" was ignored: there are rollback, /);
    expect(await taskFailures(run)).toEqual([]);
    await Promise.all([run.terminate(), early.terminate()]);
  });
});
