import { randomUUID } from 'node:crypto';
import { Client, type WorkflowHandle } from '@temporalio/client';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import { Worker, type WorkflowBundle } from '@temporalio/worker';
import type { Activities } from '../../activities/index.ts';
import { waitFor } from '../../lab/process.ts';
import { dataConverter } from '../../temporal/data-converter.ts';
import { EncryptionCodec } from '../../temporal/encryption.ts';
import type { EncryptionKeys } from '../../temporal/keys.ts';
import { timeLimits } from './time-limits.ts';
import { plainBundle, type WorkflowServer } from './workflow-server.ts';

/** Returns keys with these IDs, the same in every test; the first one encrypts. */
export function testKeys(current: string, ...older: string[]): EncryptionKeys {
  return { current, keys: new Map([current, ...older].map((id) => [id, Buffer.alloc(32, id)])) };
}

/** Returns a payload with an encoding and content, as a client in another language could send it. */
export function rawPayload(encoding: string, data = ''): Payload {
  return { metadata: { encoding: Buffer.from(encoding) }, data: Buffer.from(data) };
}

/** Returns a JSON payload that is encrypted with a key. */
export async function encryptedPayload(keyId: string, value: unknown): Promise<Payload> {
  const [payload] = await new EncryptionCodec(testKeys(keyId)).encode([defaultPayloadConverter.toPayload(value)]);
  if (payload === undefined) throw new Error('the codec returned nothing');
  return payload;
}

/** Starts a workflow with raw payloads. */
export async function startRaw(
  client: Client,
  taskQueue: string,
  type: string,
  payloads: Payload[]
): Promise<WorkflowHandle> {
  const workflowId = randomUUID();
  await client.workflowService.startWorkflowExecution({
    namespace: 'default',
    workflowId,
    requestId: randomUUID(),
    workflowType: { name: type },
    taskQueue: { name: taskQueue },
    input: { payloads },
  });
  return client.workflow.getHandle(workflowId);
}

/** Sends a signal with raw payloads. */
export async function signalRaw(
  client: Client,
  run: Pick<WorkflowHandle, 'workflowId'>,
  signalName: string,
  payloads: Payload[]
): Promise<void> {
  await client.workflowService.signalWorkflowExecution({
    namespace: 'default',
    workflowExecution: { workflowId: run.workflowId },
    signalName,
    input: { payloads },
  });
}

/**
 * Sends an update with raw payloads.
 * @returns the message of its refusal; undefined when it was accepted.
 */
export async function updateRaw(
  client: Client,
  run: Pick<WorkflowHandle, 'workflowId'>,
  name: string,
  payloads: Payload[]
): Promise<string | undefined> {
  const { outcome } = await client.workflowService.updateWorkflowExecution({
    namespace: 'default',
    workflowExecution: { workflowId: run.workflowId },
    waitPolicy: { lifecycleStage: 3 },
    request: { meta: { updateId: randomUUID(), identity: 'test' }, input: { name, args: { payloads } } },
  });
  return outcome?.failure?.message ?? undefined;
}

/** Runs a test with a worker that has these keys. */
export async function withKeys(
  server: WorkflowServer,
  taskQueue: string,
  keys: EncryptionKeys | undefined,
  activities: Partial<Activities>,
  test: (client: Client) => Promise<void>
): Promise<void> {
  bundle ??= await plainBundle();
  const converter = dataConverter(keys);
  const worker = await Worker.create({
    connection: server.env.nativeConnection,
    taskQueue,
    workflowBundle: bundle,
    activities,
    dataConverter: converter,
    // Another worker with the same queue does not wait for this one.
    stickyQueueScheduleToStartTimeout: '100 ms',
  });
  const client = new Client({ connection: server.env.connection, dataConverter: converter });
  await worker.runUntil(test(client));
}

let bundle: WorkflowBundle | undefined;

/** Returns the failures of a run's workflow tasks, as the history records them. */
export async function taskFailures(run: Pick<WorkflowHandle, 'fetchHistory'>): Promise<string[]> {
  const { events } = await run.fetchHistory();
  return (events ?? []).flatMap(({ workflowTaskFailedEventAttributes: failed }) =>
    failed == null ? [] : (failed.failure?.message ?? '')
  );
}

/** Waits until a workflow task of a run has failed, and returns the failures. */
export async function waitForTaskFailure(run: Pick<WorkflowHandle, 'fetchHistory'>): Promise<string> {
  let failures: string[] = [];
  const failed = async (): Promise<boolean> => {
    failures = await taskFailures(run);
    return failures.length > 0;
  };
  await waitFor('a workflow task to fail', failed, { timeoutMs: timeLimits.workflowState });
  return failures.join('\n');
}
