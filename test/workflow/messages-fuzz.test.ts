import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import * as fc from 'fast-check';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { projectDir } from '../../lab/paths.ts';
import { payloadConverterPath } from '../../temporal/data-converter.ts';
import { EncryptionCodec } from '../../temporal/encryption.ts';
import { parseRequest } from '../../model/parse-request.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import { hostileMessage, runIdPlaceholder, unknownNames, type HostileMessage } from '../support/hostile-messages.ts';
import { rawPayload, testKeys } from '../support/payloads.ts';
import { Sandbox, type SandboxActivities, type SandboxedWorkflow, type StartOptions } from '../support/sandbox.ts';
import { plainBundle } from '../support/workflow-server.ts';

/**
 * Random messages to every workflow, in the SDK's own sandbox. They are the same each time unless PROPERTY_SEED is set;
 * PROPERTY_RUNS sets their number.
 */
const seed = Number(process.env['PROPERTY_SEED'] ?? 20_261_129);
const messageCount = Number(process.env['PROPERTY_RUNS'] ?? 10_000);

/** Number of messages that arrive in one workflow task. */
const batchSize = 50;

/** Temporal's limit of a message, a result or an answer, in bytes. */
const serverLimit = 2 * 1024 * 1024;

/** What a workflow task delivers. */
type Job = Parameters<SandboxedWorkflow['activate']>[0][number];

/** Longest keyword that every store of Temporal accepts, in characters. */
const maxKeyword = 255;

/** Returns activities on a cluster, without those that wait in vain or that a test lets wait. */
function activitiesWithout(...waiting: string[]): SandboxActivities {
  const { activities } = fakeCluster({ nodes: ['a', 'b'] });
  const left = waiting.map((name) => [name, undefined]);
  return { ...activities, ...(Object.fromEntries(left) as object), waitForNodeChange: undefined };
}

const request = (approval: string) => ({ cluster: 'prod', approval, cleanup: 'approve' });
const parsed = parseRequest(request('none'));
if ('problems' in parsed) throw new Error(parsed.problems.join());
const nodeInput = { node: 'a', migration: parsed.input, forcedPods: [] };
const parent = { workflowId: 'cni-migration/prod', runId: 'parent-run' };
const fleet = { fleet: 'eu', approval: 'every-cluster', clusters: [{ cluster: 'eu' }, { cluster: 'us' }] };

const receivers: Record<string, { share: number; options: StartOptions; status?: true }> = {
  'a migration whose checks run': {
    ...{ share: 0.1, status: true },
    options: { type: 'clusterMigration', args: [request('every-node')], activities: activitiesWithout('runPreflight') },
  },
  'a migration that waits for the approval of the plan': {
    ...{ share: 0.25, status: true },
    options: { type: 'clusterMigration', args: [request('every-node')], activities: activitiesWithout() },
  },
  'a migration whose nodes are migrating': {
    ...{ share: 0.25, status: true },
    options: { type: 'clusterMigration', args: [request('none')], activities: activitiesWithout() },
  },
  'the migration of a node': {
    share: 0.15,
    options: { type: 'nodeMigration', args: [nodeInput], parent, activities: activitiesWithout('drainNode') },
  },
  'the rollback of a node': {
    share: 0.05,
    options: { type: 'nodeRollback', args: [nodeInput], parent, activities: activitiesWithout('revertNodeFlip') },
  },
  'a fleet': { share: 0.15, status: true, options: { type: 'fleetMigration', args: [fleet], activities: {} } },
  'a run of the checks': {
    share: 0.05,
    options: { type: 'clusterPreflight', args: [request('none')], activities: activitiesWithout('runPreflight') },
  },
};

let sandbox: Sandbox;
beforeAll(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR'), telemetryOptions: { logging: { filter: 'ERROR' } } });
  sandbox = await Sandbox.create(Object.keys(fakeCluster().activities));
});
afterAll(() => sandbox.stop());

/** Starts a workflow; of one that continues as new at once, its second run. */
async function start(options: StartOptions): Promise<SandboxedWorkflow> {
  const workflow = await sandbox.start(options);
  const next = workflow.ended?.continueAsNewWorkflowExecution;
  if (next == null) return workflow;
  await workflow.dispose();
  const args = (next.arguments ?? []).map((payload) => defaultPayloadConverter.fromPayload(payload));
  return sandbox.start({ ...options, args, continued: true });
}

/** Returns the names that a workflow has registered, by kind. */
async function registeredNames(workflow: SandboxedWorkflow): Promise<Record<HostileMessage['kind'], string[]>> {
  const [answer] = await workflow.query([{ name: '__temporal_workflow_metadata', payloads: [] }]);
  type Definitions = { name?: string }[] | undefined;
  const { definition } = defaultPayloadConverter.fromPayload<{ definition: Record<string, Definitions> }>(answer ?? {});
  const names = (key: string): string[] => (definition[key] ?? []).flatMap(({ name }) => name ?? []);
  return {
    signal: names('signalDefinitions'),
    update: names('updateDefinitions'),
    query: names('queryDefinitions'),
  };
}

/** Sends messages, and checks that each update and query is answered, and that the workflow continues. */
async function send(workflow: SandboxedWorkflow, messages: readonly HostileMessage[], hasKeys: boolean) {
  const names = await registeredNames(workflow);
  const { workflowId, runId } = workflow.info;
  const codec = new EncryptionCodec(testKeys('k1'));
  const received = async (payloads: readonly Payload[]): Promise<Payload[]> => {
    const own = payloads.map(({ metadata, data }) => ({
      ...(metadata != null && { metadata }),
      ...(data != null && {
        data: Buffer.from(Buffer.from(data).toString('latin1').replace(runIdPlaceholder, runId), 'latin1'),
      }),
    }));
    return hasKeys ? codec.decode(own, { type: 'workflow', namespace: 'default', workflowId }) : own;
  };
  const prepared = await Promise.all(
    messages.map(async ({ kind, name, payloads, headers }) => {
      const candidates = [...names[kind], ...names[kind], ...names[kind], ...unknownNames];
      return { kind, name: candidates[name % candidates.length] ?? '', payloads: await received(payloads), headers };
    })
  );

  const updates = prepared.filter(({ kind }) => kind === 'update');
  const jobs = prepared.flatMap(({ kind, name, payloads, headers }, index): Job[] => {
    const common = { input: payloads, headers };
    if (kind === 'signal') return [{ signalWorkflow: { signalName: name, ...common } }];
    const ids = { id: `u${index}`, protocolInstanceId: `u${index}`, runValidator: true };
    return kind === 'update' ? [{ doUpdate: { name, ...ids, ...common } }] : [];
  });
  const commands = await workflow.activate(jobs).catch((error: unknown) => {
    throw new Error(`one of these messages: ${formatMessages(prepared)}`, { cause: error });
  });
  const answered = commands.flatMap(({ updateResponse }) =>
    updateResponse?.rejected != null || updateResponse?.completed != null ? [updateResponse.protocolInstanceId] : []
  );
  const tooLong = commands.flatMap(({ upsertWorkflowSearchAttributes: upsert }) =>
    Object.values(upsert?.searchAttributes?.indexedFields ?? {}).filter(
      (payload) => String(defaultPayloadConverter.fromPayload(payload)).length > maxKeyword
    )
  );

  expect(new Set(answered).size).toBe(updates.length);
  expect(tooLong).toEqual([]);
  expect(workflow.largestCommand).toBeLessThan(serverLimit);
  const queries = prepared.filter(({ kind }) => kind === 'query');
  await workflow.query(queries);
}

interface HistoryEvent {
  eventId: string;
  eventType: string;
  workflowExecutionStartedEventAttributes?: { workflowId: string };
}

async function readHistory(name: string): Promise<{ history: HistoryEvent[]; workflowId: string }> {
  const file = path.join(projectDir, 'test', 'histories', 'next', `${name}.json`);
  const { events } = JSON.parse(await readFile(file, 'utf8')) as { events: HistoryEvent[] };
  return { history: events, workflowId: events[0]?.workflowExecutionStartedEventAttributes?.workflowId ?? '' };
}

/** Returns the first half of a history, followed by signals and by the workflow task that receives them. */
function withSignals(history: readonly HistoryEvent[], signals: readonly { name: string; payloads: Payload[] }[]) {
  const isTask = ({ eventType }: HistoryEvent): boolean => eventType === 'EVENT_TYPE_WORKFLOW_TASK_SCHEDULED';
  const cut = history.findIndex((event, index) => index > history.length / 2 && isTask(event));
  const scheduled = history[cut];
  const started = history.find(({ eventType }) => eventType === 'EVENT_TYPE_WORKFLOW_TASK_STARTED');
  const toBase64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  const received = signals.map(({ name, payloads }) => ({
    ...{ eventTime: '2026-11-29T08:07:53.391007375Z', eventType: 'EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED' },
    workflowExecutionSignaledEventAttributes: {
      signalName: name,
      input: {
        payloads: payloads.map(({ metadata, data }) => ({
          metadata: Object.fromEntries(Object.entries(metadata ?? {}).map(([key, bytes]) => [key, toBase64(bytes)])),
          ...(data != null && { data: toBase64(data) }),
        })),
      },
    },
  }));
  const scheduledEventId = String(cut + received.length + 1);
  const task = { ...started, workflowTaskStartedEventAttributes: { scheduledEventId, requestId: 'r' } };
  const events = [...history.slice(0, cut), ...received, scheduled, task];
  return { events: events.map((event, index) => ({ ...event, eventId: String(index + 1) })) };
}

/** Returns messages as text, one per line, the beginning of each. */
function formatMessages(messages: readonly { kind: string; name: string; payloads: readonly Payload[] }[]): string {
  const lines = messages.map(({ kind, name, payloads }) => {
    const texts = payloads.map(({ metadata, data }) =>
      [...Object.values(metadata ?? {}), data ?? []]
        .map((bytes) => Buffer.from(bytes).toString().slice(0, 150))
        .join(' ')
    );
    return [kind, JSON.stringify(name), ...texts].join(' ');
  });
  return ['', ...lines].join('\n');
}

it.each(Object.entries(receivers))('no message stops %s', async (_title, { share, options, status }) => {
  let workflow = await start(options);
  const property = fc.asyncProperty(
    fc.array(hostileMessage, { minLength: batchSize, maxLength: batchSize }),
    fc.boolean(),
    async (messages, hasKeys) => {
      if (workflow.ended !== undefined) {
        await workflow.dispose();
        workflow = await start(options);
      }
      await send(workflow, messages, hasKeys);
      if (status === undefined || workflow.ended !== undefined) return;
      const [answer] = await workflow.query([{ name: 'status', payloads: [] }]);
      expect(answer?.data?.length).toBeGreaterThan(0);
      expect(answer?.data?.length).toBeLessThan(serverLimit);
    }
  );

  const numRuns = Math.ceil((messageCount * share) / batchSize);
  // Each batch depends on the earlier ones, so that a smaller one proves nothing.
  const { failed, errorInstance } = await fc.check(property, { seed, numRuns, endOnFailure: true });
  if (failed) throw errorInstance;
  await workflow.dispose();
});

it('passes only names of pods on to the drain of a node', async () => {
  const pods = ['x'.repeat(1_900_000), 'shop', '', 7, null, 'shop/web-1'];
  const jobs = pods.map((pod) => ({
    signalWorkflow: { signalName: 'forcePod', input: [defaultPayloadConverter.toPayload(pod)] },
  }));

  const { calls } = await start({ ...receivers['the migration of a node']!.options, jobs });

  const [drain] = calls.filter(({ activity }) => activity === 'drainNode');
  expect(drain?.args).toEqual([expect.objectContaining({ forcedPods: ['shop/web-1'] })]);
});

describe('a replay of a recorded history', () => {
  const longText = JSON.stringify({ reason: `client-key-data${' '.repeat(1_900_000)}` });
  const kinds: [title: string, payloads: Payload[]][] = [
    ['no payload', []],
    ['an unknown encoding', [rawPayload('x/y', '{}')]],
    ['no metadata', [{ data: Buffer.from('{}') }]],
    ['invalid JSON', [rawPayload('json/plain', '{')]],
    [
      'a key that the worker lacks',
      [new EncryptionCodec(testKeys('k9')).encodeFor([rawPayload('x')], undefined)[0] ?? {}],
    ],
    ['2 MB of text', [rawPayload('json/plain', longText)]],
    ['100,000 levels', [rawPayload('json/plain', '['.repeat(100_000))]],
    ...[null, 7, 'x', [], {}, { node: null }, { node: 'a', blockers: 5 }].map((value): [string, Payload[]] => [
      JSON.stringify(value),
      [defaultPayloadConverter.toPayload(value)],
    ]),
  ];
  const names = [
    'approve',
    'abort',
    'forcePod',
    'retryStep',
    'nodeProgress',
    'clusterProgress',
    'constructor',
    '__temporal_x',
  ];
  const signals = kinds.flatMap(([, payloads]) => names.map((name) => ({ name, payloads })));

  it.each([
    'undisturbed/01-clusterMigration',
    'undisturbed/02-nodeMigration',
    'rolled-back/03-nodeRollback',
    'fleet/02-fleetMigration',
  ])('receives each kind of message in %s', async (file) => {
    const { history, workflowId } = await readHistory(file);
    const options = { workflowBundle: await plainBundle(), dataConverter: { payloadConverterPath } };

    const replayed = Worker.runReplayHistory(options, withSignals(history, signals), workflowId);

    await expect(replayed).resolves.toBeUndefined();
  });
});
