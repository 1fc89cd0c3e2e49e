import { randomUUID } from 'node:crypto';
import { WorkflowFailedError, type Client, type WorkflowHandle } from '@temporalio/client';
import { cancelled, heartbeat } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { fakeCluster, permanent } from '../support/fake-cluster.ts';
import { TimeSkipping } from '../support/time-skipping.ts';
import { approveSignal, statusQuery } from '../../workflows/messages.ts';
import type { clusterMigration } from '../../workflows/index.ts';

const server = new TimeSkipping();
beforeAll(() => server.start());
afterAll(() => server.stop());

type Handle = WorkflowHandle<typeof clusterMigration>;

function start(client: Client, taskQueue: string, input: unknown): Promise<Handle> {
  return client.workflow.start<typeof clusterMigration>('clusterMigration', {
    taskQueue,
    workflowId: randomUUID(),
    args: [input],
  });
}

/** The failure that a run ends with, as an operator sees it. */
async function failureOf(handle: Handle): Promise<ApplicationFailure> {
  const error: unknown = await handle.result().catch((thrown: unknown) => thrown);
  if (!(error instanceof WorkflowFailedError) || !(error.cause instanceof ApplicationFailure)) {
    throw new Error('the run did not end with an ApplicationFailure', { cause: error });
  }
  return error.cause;
}

const preflight = ['inspectCluster'];
const coexistence = [
  'applyHelmRelease',
  'coexistence values',
  'checkCiliumConfig',
  'waitForAgents',
  'applyNodeConfig',
  'deployHelpers',
];
const nodeSteps = (node: string): string[] =>
  ['observeNode', 'cordonNode', 'drainNode', 'flipNode', 'verifyNode', 'recyclePods', 'verifyNode', 'uncordonNode'].map(
    (step) => `${step} ${node}`
  );
const cutOver = ['requireAllPodsOnTarget', 'applyHelmRelease', 'final values', 'restartAgents', 'removeNodeConfig'];
const cleanUp = ['removeHelpers', 'removeCanal'];

it('migrates node by node, each step after the one before', async () => {
  const cluster = fakeCluster();
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const handle = await start(client, taskQueue, { cluster: 'prod', approval: 'none' });
    const report = await handle.result();
    expect(report).toMatchObject({ changed: true, cluster: 'prod', phase: 'done', notes: [] });
    expect(report.nodes.map((node) => node.state)).toEqual(['migrated', 'migrated', 'migrated']);
    expect(report.timeline.map((entry) => entry.phase)).toEqual([
      'preflight',
      'coexistence',
      'migrate',
      'cut-over',
      'clean-up',
      'done',
    ]);
  });
  expect(cluster.calls).toEqual([
    ...preflight,
    ...coexistence,
    ...['a', 'b', 'c'].flatMap(nodeSteps),
    ...cutOver,
    ...cleanUp,
  ]);
  expect(cluster.cordoned).toEqual(new Set());
});

it('waits for the approval of every node, for days if need be, and keeps who gave it', async () => {
  const cluster = fakeCluster({ nodes: ['a', 'b'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const handle = await start(client, taskQueue, { cluster: 'prod' });
    await server.env.sleep('3 days');
    expect(await handle.query(statusQuery)).toMatchObject({ phase: 'migrate', waitingFor: 'approval of node a' });
    expect(cluster.calls).not.toContain('cordonNode a');
    await handle.signal(approveSignal, { node: 'a', approver: 'ann', reason: 'window' });
    await server.env.sleep('1 hour');
    const status = await handle.query(statusQuery);
    expect(status).toMatchObject({ waitingFor: 'approval of node b' });
    expect(status.nodes).toMatchObject([
      { name: 'a', state: 'migrated', approval: { approver: 'ann', reason: 'window' } },
      { name: 'b', state: 'awaiting-approval' },
    ]);
    expect(cluster.calls).not.toContain('cordonNode b');
    await handle.signal(approveSignal, { node: 'b' });
    expect((await handle.result()).nodes[1]).toMatchObject({ approval: { approver: 'unnamed' } });
    expect(await handle.query(statusQuery)).toMatchObject({ phase: 'done' });
  });
});

it('takes approvals that come early, in any order', async () => {
  const cluster = fakeCluster({ nodes: ['a', 'b'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const handle = await start(client, taskQueue, { cluster: 'prod' });
    await handle.signal(approveSignal, { node: 'b' });
    await handle.signal(approveSignal, { node: 'a' });
    expect(await handle.result()).toMatchObject({ phase: 'done' });
  });
});

it.each([
  ['null', null, 'without a node'],
  ['text', 'a', 'without a node'],
  ['no node', { approver: 'ann' }, 'without a node'],
  ['a node that is a number', { node: 7 }, 'without a node'],
  ['an unknown node', { node: 'zzz' }, 'zzz was ignored'],
])('notes an approval that makes no sense and goes on waiting: %s', async (_, approval, words) => {
  const cluster = fakeCluster({ nodes: ['a'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const handle = await start(client, taskQueue, { cluster: 'prod' });
    await server.env.sleep('1 minute');
    await handle.signal('approve', approval);
    await server.env.sleep('1 hour');
    const status = await handle.query(statusQuery);
    expect(status.waitingFor).toBe('approval of node a');
    expect(status.notes.join()).toContain(words);
    await handle.signal(approveSignal, { node: 'a' });
    await handle.result();
  });
});

it.each([
  ['nothing', undefined, 'InvalidInput', 'the input: '],
  ['text', 'prod', 'InvalidInput', 'the input: '],
  ['a wrong type', { cluster: 'prod', tunnelPort: 'x' }, 'InvalidInput', 'tunnelPort: '],
  ['a value that is ours', { cluster: 'prod', values: { tunnelPort: 1 } }, 'InvalidInput', 'values.tunnelPort: '],
  ['an overlapping CIDR', { cluster: 'prod', podCidr: '10.244.0.0/16' }, 'UnsuitablePodCidr', "Canal's pods"],
  ["Flannel's port", { cluster: 'prod', tunnelPort: 8472 }, 'TunnelPortInUse', '8472'],
])('refuses %s before anything is changed', async (_, input, type, words) => {
  const cluster = fakeCluster();
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const failure = await failureOf(await start(client, taskQueue, input));
    expect(failure).toMatchObject({ type, nonRetryable: true });
    expect(failure.message).toContain(words);
  });
  expect(cluster.calls.filter((call) => call !== 'inspectCluster')).toEqual([]);
});

describe('a payload that is no JSON, as a client of another language could send it', () => {
  const payload = { metadata: { encoding: Buffer.from('json/plain') }, data: Buffer.from('{"cluster": ') };

  it('is refused as an input', async () => {
    const cluster = fakeCluster();
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const workflowId = randomUUID();
      await client.workflowService.startWorkflowExecution({
        namespace: 'default',
        workflowId,
        requestId: randomUUID(),
        workflowType: { name: 'clusterMigration' },
        taskQueue: { name: taskQueue },
        input: { payloads: [payload] },
      });
      const handle = client.workflow.getHandle<typeof clusterMigration>(workflowId);
      expect(await failureOf(handle)).toMatchObject({ type: 'InvalidInput' });
    });
    expect(cluster.calls).toEqual([]);
  });

  it('is noted as an approval, and holds up nothing', async () => {
    const cluster = fakeCluster({ nodes: ['a'] });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const handle = await start(client, taskQueue, { cluster: 'prod' });
      await client.workflowService.signalWorkflowExecution({
        namespace: 'default',
        workflowExecution: { workflowId: handle.workflowId },
        signalName: 'approve',
        input: { payloads: [payload] },
      });
      await handle.signal(approveSignal, { node: 'a' });
      expect((await handle.result()).notes.join()).toContain('without a node');
    });
  });
});

it('outlasts an API server that is down in the middle of a migration', async () => {
  let down = 0;
  const cluster = fakeCluster({
    nodes: ['a'],
    before: (activity) => {
      // These two give up sooner: the next test.
      if (activity === 'inspectCluster' || activity === 'applyHelmRelease' || down >= 200) return;
      down++;
      throw ApplicationFailure.retryable('connect ECONNREFUSED', 'ClusterUnreachable');
    },
  });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const handle = await start(client, taskQueue, { cluster: 'prod', approval: 'none' });
    expect(await handle.result()).toMatchObject({ phase: 'done' });
  });
  expect(down).toBe(200);
});

it.each([
  ['inspectCluster', 'ClusterUnreachable', 5],
  ['applyHelmRelease', 'HelmFailed', 8],
])('gives up on %s after some attempts, with the reason', async (failing, type, expected) => {
  let attempts = 0;
  const cluster = fakeCluster({
    before: (activity) => {
      if (activity !== failing) return;
      attempts++;
      throw ApplicationFailure.retryable('the reason', type);
    },
  });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    expect(await failureOf(await start(client, taskQueue, { cluster: 'prod' }))).toMatchObject({
      type,
      message: 'the reason',
    });
  });
  expect(attempts).toBe(expected);
});

it('gives a node back when its drain fails, and stops there', async () => {
  const cluster = fakeCluster({
    before: (activity, node) => {
      if (activity === 'drainNode' && node === 'b') throw permanent('DrainBlocked', 'PodDisruptionBudget shop/web');
    },
  });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const handle = await start(client, taskQueue, { cluster: 'prod', approval: 'none' });
    const failure = await failureOf(handle);
    expect(failure).toMatchObject({ type: 'DrainBlocked', message: 'node b: PodDisruptionBudget shop/web' });
    const { nodes } = await handle.query(statusQuery);
    expect(nodes.map((node) => node.state)).toEqual(['migrated', 'failed', 'pending']);
  });
  expect(cluster.cordoned).toEqual(new Set());
  expect(cluster.calls).toContain('uncordonNode b');
  expect(cluster.calls).not.toContain('flipNode b');
  expect(cluster.calls).not.toContain('cordonNode c');
});

it('leaves a node cordoned that fails after its flip', async () => {
  const cluster = fakeCluster({
    before: (activity) => {
      if (activity === 'verifyNode') throw permanent('VerificationFailed', 'DNS over UDP: timeout');
    },
  });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const failure = await failureOf(await start(client, taskQueue, { cluster: 'prod', approval: 'none' }));
    expect(failure).toMatchObject({ type: 'VerificationFailed', message: 'node a: DNS over UDP: timeout' });
  });
  expect(cluster.cordoned).toEqual(new Set(['a']));
});

it('gives a node back when it is cancelled in the middle of a drain', async () => {
  let draining: () => void = () => undefined;
  const drained = new Promise<void>((resolve) => (draining = resolve));
  const cluster = fakeCluster();
  cluster.activities.drainNode = async () => {
    draining();
    const beat = setInterval(() => heartbeat(), 100);
    await cancelled().finally(() => clearInterval(beat));
  };
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const handle = await start(client, taskQueue, { cluster: 'prod', approval: 'none' });
    await drained;
    await handle.cancel();
    await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
  });
  expect(cluster.cordoned).toEqual(new Set());
  expect(cluster.calls).toContain('uncordonNode a');
});

it('takes up from the state of the cluster after a run that did not finish', async () => {
  const cluster = fakeCluster({ migrated: ['a', 'b'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const handle = await start(client, taskQueue, { cluster: 'prod', approval: 'none' });
    const report = await handle.result();
    expect(report.nodes.map((node) => node.state)).toEqual(['migrated', 'migrated', 'migrated']);
    expect(report.notes).toEqual(['a had been migrated before', 'b had been migrated before']);
  });
  expect(cluster.calls.filter((call) => call.startsWith('cordonNode'))).toEqual(['cordonNode c']);
});

it('does not go back to coexistence after the cut-over', async () => {
  const cluster = fakeCluster({ facts: { ciliumOwnsCni: true } });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    await (await start(client, taskQueue, { cluster: 'prod', approval: 'none' })).result();
  });
  expect(cluster.calls).toEqual([...preflight, ...cutOver, ...cleanUp]);
});

it('has nothing to do when Canal is gone', async () => {
  const cluster = fakeCluster();
  const inspect = cluster.activities.inspectCluster;
  cluster.activities.inspectCluster = async (target) => {
    const facts = await inspect(target);
    delete facts.canal;
    return { ...facts, ciliumOwnsCni: true };
  };
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const report = await (await start(client, taskQueue, { cluster: 'prod' })).result();
    expect(report).toMatchObject({ changed: false, phase: 'done' });
  });
  expect(cluster.calls).toEqual(preflight);
});
