import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import * as fc from 'fast-check';
import { EncryptionCodec } from '../../temporal/encryption.ts';
import { parseRequest } from '../../model/parse-request.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import { hostileMessage, runIdPlaceholder, unknownNames, type HostileMessage } from '../support/hostile-messages.ts';
import { testKeys } from '../support/payloads.ts';
import { Sandbox, type SandboxActivities, type SandboxedWorkflow, type StartOptions } from '../support/sandbox.ts';

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
      return { kind, name: candidates[name % candidates.length] || 'x', payloads: await received(payloads), headers };
    })
  );

  const updates = prepared.filter(({ kind }) => kind === 'update');
  const jobs = prepared.flatMap(({ kind, name, payloads, headers }, index) => {
    const common = { input: payloads, headers };
    if (kind === 'signal') return [{ signalWorkflow: { signalName: name, ...common } }];
    const ids = { id: `u${index}`, protocolInstanceId: `u${index}`, runValidator: true };
    return kind === 'update' ? [{ doUpdate: { name, ...ids, ...common } }] : [];
  });
  const commands = await workflow.activate(jobs);
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

it.each(Object.entries(receivers))('no message stops %s', async (_title, { share, options, status }) => {
  let workflow = await start(options);
  let restarts = 0;
  const property = fc.asyncProperty(
    fc.array(hostileMessage, { minLength: batchSize, maxLength: batchSize }),
    fc.boolean(),
    async (messages, hasKeys) => {
      if (workflow.ended !== undefined) {
        restarts++;
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
  await fc.assert(property, { seed, numRuns, endOnFailure: true });
  console.log(_title, restarts);
  await workflow.dispose();
});
