import { randomUUID } from 'node:crypto';
import { WorkflowFailedError } from '@temporalio/client';
import { cancelled, heartbeat } from '@temporalio/activity';
import { signal, statusQuery } from '../../workflows/messages.ts';
import type { clusterMigration } from '../../workflows/index.ts';
import { fakeCluster, permanent } from '../support/fake-cluster.ts';
import {
  approveCutover,
  startRun,
  states,
  unattendedRequest,
  waitForFailure,
  waitForPendingWait,
} from '../support/migration-run.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

const begin = ['inspectCluster', 'acquireLock'];
const preflight = [...begin, 'runPreflight', 'removeInspectors', 'planDetails'];
const coexistence = [
  ...['letCanalOnAllNodes', 'deployProbers', 'ledger before'],
  ...['applyCniChain', 'applyHelmRelease', 'coexistence values', 'checkCiliumConfig', 'waitForAgents'],
  ...['applyNodeConfig', 'deployNatExemption', 'deployIdentityBridge', 'applyTranslatedPolicies', 'checkGates'],
];
const nodeSteps = (node: string): string[] =>
  [
    ...['observeNode', 'cordonNode', 'drain to cilium', 'requireIdentityBridge', 'flipNode', 'verify cilium'],
    ...['recycle to cilium', 'verify cilium', 'checkGates', 'uncordonNode'],
  ].map((step) => `${step} ${node}`);
const cutover = (...nodes: string[]): string[] => [
  ...['requireAllPodsOnTarget', 'applyTranslatedPolicies', 'keepCanalOffNewNodes', 'removeIdentityBridge'],
  ...['applyHelmRelease', 'cutover values', 'checkCiliumConfig'],
  ...nodes.flatMap((node) => [`restartOutdatedAgent ${node}`, `verify cilium ${node}`]),
  ...['removeNodeConfig', 'applyHelmRelease', 'final values', 'waitForAgents'],
  ...['restartOutdatedOperator', 'checkGates'],
];
const cleanup = (...nodes: string[]): string[] => [
  ...['exportCalico', 'recordPointOfNoReturn', 'removeCanal', 'nodeNames'],
  ...nodes.map((node) => `cleanHost ${node}`),
  ...['removeCanalTraces', 'ledger during', 'ledger after', 'checkGates', 'removeHelpers'],
  'releaseLock',
];
/** Returns the calls without the repeated reads, which change nothing. */
const withoutReads = (calls: readonly string[]): string[] =>
  calls.filter((call) => !['observeNodes', 'readLedger'].includes(call));

it('migrates node by node, in the order of the steps', async () => {
  const cluster = fakeCluster();
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const report = await (await startRun(client, taskQueue, unattendedRequest)).result();
    expect(report).toMatchObject({ changed: true, cluster: 'prod', phase: 'done', waves: 3 });
    expect(states(report)).toEqual(['migrated', 'migrated', 'migrated']);
    expect(report.calicoExport).toEqual(['kube-system/calico-export-0']);
    expect(report.timeline.map((entry) => entry.phase)).toEqual([
      ...['preflight', 'plan', 'coexistence', 'migrate', 'cutover', 'cleanup', 'done'],
    ]);
  });
  // Some steps run in parallel: each occurs once, and the others are in order.
  expect(withoutReads(cluster.calls).sort()).toEqual(
    [
      ...preflight,
      ...coexistence,
      ...['a', 'b', 'c'].flatMap((node) => ['restoreHelpers', 'applyTranslatedPolicies', ...nodeSteps(node)]),
      ...cutover('a', 'b', 'c'),
      'verifyBeforeRemoval',
      ...cleanup('a', 'b', 'c'),
    ].sort()
  );
  const withoutParallelCalls = (calls: readonly string[]): string[] =>
    calls.filter(
      (call) => !/^(cleanHost|restartOutdatedAgent|deployNatExemption|checkGates .)|^verify cilium [bc]/.test(call)
    );
  expect(withoutParallelCalls(withoutReads(cluster.calls))).toEqual(
    withoutParallelCalls([
      ...preflight,
      ...coexistence,
      ...['a', 'b', 'c'].flatMap((node) => ['restoreHelpers', 'applyTranslatedPolicies', ...nodeSteps(node)]),
      ...cutover('a', 'b', 'c'),
      'verifyBeforeRemoval',
      ...cleanup(),
    ])
  );
  const findCalls = (node: string): string[] => cluster.calls.filter((call) => call.endsWith(` ${node}`));
  expect(findCalls('b').slice(-3)).toEqual(['restartOutdatedAgent b', 'verify cilium b', 'cleanHost b']);
  expect(cluster.cordoned()).toEqual([]);
  expect(cluster.broken).toEqual([]);
});

it.each([
  ['nothing', undefined, 'InvalidInput', 'the input: '],
  ['text', 'prod', 'InvalidInput', 'the input: '],
  ['a wrong type', { cluster: 'prod', tunnelPort: 'x' }, 'InvalidInput', 'tunnelPort: '],
  ['a value that is ours', { cluster: 'prod', values: { tunnelPort: 1 } }, 'InvalidInput', 'values.tunnelPort: '],
  ['a hook without a queue', { cluster: 'prod', reboot: { mode: 'hook' } }, 'InvalidInput', 'reboot.taskQueue: '],
  [
    'no time zone',
    { cluster: 'p', windows: [{ start: '01:00', end: '02:00', timeZone: 'Mars/X' }] },
    'InvalidInput',
    'windows.0.timeZone: ',
  ],
  [
    'a waiver of an unknown check',
    { cluster: 'p', waivers: [{ check: 'x', reason: 'y' }] },
    'InvalidInput',
    'waivers.0.check: ',
  ],
  [
    'a waiver without a reason',
    { cluster: 'p', waivers: [{ check: 'mtu', reason: ' ' }] },
    'InvalidInput',
    'waivers.0.reason: ',
  ],
  [
    'a gate with a password',
    { cluster: 'p', gates: { http: [{ url: 'http://a:b@c' }] } },
    'InvalidInput',
    'gates.http.0.url: ',
  ],
])('refuses %s before it changes anything', async (_, input, type, message) => {
  const cluster = fakeCluster();
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const failure = await waitForFailure(await startRun(client, taskQueue, input));
    expect(failure).toMatchObject({ type, nonRetryable: true });
    expect(failure.message).toContain(message);
  });
  expect(cluster.calls.filter((call) => call !== 'inspectCluster')).toEqual([]);
});

describe('a payload that is not valid JSON, as a client in another language could send it', () => {
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
      const run = client.workflow.getHandle<typeof clusterMigration>(workflowId);
      expect(await waitForFailure(run)).toMatchObject({ type: 'InvalidInput' });
    });
    expect(cluster.calls).toEqual([]);
  });

  it('is noted as a message, and does not block the migration', async () => {
    const cluster = fakeCluster({ nodes: ['a'] });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, { ...unattendedRequest, cleanup: 'approve' });
      await waitForPendingWait(run, 'approval of the cleanup');
      await client.workflowService.signalWorkflowExecution({
        namespace: 'default',
        workflowExecution: { workflowId: run.workflowId },
        signalName: 'approve',
        input: { payloads: [payload] },
      });
      await run.signal(signal('approve'), { cleanup: true });
      expect((await run.result()).notes.join()).toContain('approve was ignored: the message: is not valid JSON');
    });
  });
});

describe('with onFailure "stop"', () => {
  const stop = { ...unattendedRequest, onFailure: 'stop' };

  it('uncordons a node when its drain fails, and stops there', async () => {
    const cluster = fakeCluster({
      before: (activity, node) => {
        if (activity === 'drain to cilium' && node === 'b')
          throw permanent('DrainBlocked', 'PodDisruptionBudget shop/web');
      },
    });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, stop);
      expect(await waitForFailure(run)).toMatchObject({
        type: 'DrainBlocked',
        message: 'node b: PodDisruptionBudget shop/web\ndiagnostics: ConfigMap diagnostics-b in cni-live-migration',
      });
      expect(states(await run.query(statusQuery))).toEqual(['migrated', 'failed', 'pending']);
    });
    expect(cluster.cordoned()).toEqual([]);
    expect(cluster.calls).toContain('uncordonNode b');
    expect(cluster.calls).not.toContain('flipNode b');
    expect(cluster.calls).not.toContain('cordonNode c');
    expect(cluster.system.lock).toBe('');
  });

  it('keeps a node cordoned when it fails after its flip', async () => {
    const cluster = fakeCluster({
      before: (activity) => {
        if (activity === 'verify cilium') throw permanent('VerificationFailed', 'DNS over UDP: timeout');
      },
    });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const failure = await waitForFailure(await startRun(client, taskQueue, stop));
      expect(failure).toMatchObject({ type: 'VerificationFailed' });
      expect(failure.message).toMatch(/^node a: DNS over UDP: timeout\n.*diagnostics-a/);
    });
    expect(cluster.cordoned()).toEqual(['a']);
  });
});

it.each([
  ['drain to cilium', ['uncordonNode a'], ['revertNodeFlip a']],
  ['verify cilium', ['revertNodeFlip a', 'restoreSourceCni a', 'drain to canal a', 'uncordonNode a'], []],
])('gives a node back when it is cancelled in the middle of %s', async (step, expected, unexpected) => {
  let begun: () => void = () => undefined;
  const reached = new Promise<void>((resolve) => (begun = resolve));
  const cluster = fakeCluster({
    before: async (activity) => {
      if (activity !== step) return;
      begun();
      const beat = setInterval(() => heartbeat(), 100);
      await cancelled().finally(() => clearInterval(beat));
    },
  });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    await reached;
    await run.cancel();
    await expect(run.result()).rejects.toThrow(WorkflowFailedError);
  });
  expect(cluster.cordoned()).toEqual([]);
  expect(cluster.nodes.get('a')).toMatchObject({ flipped: false, pods: 'canal', cni: 'canal' });
  expect(cluster.calls).toEqual(expect.arrayContaining(expected));
  for (const call of unexpected) expect(cluster.calls).not.toContain(call);
  expect(cluster.broken).toEqual([]);
  expect(cluster.system.lock).toBe('');
});

it('resumes from the state of the cluster after a run that did not finish', async () => {
  const migrated = ['a', 'b'].map((name) => ({ name, flipped: true }));
  const cluster = fakeCluster({ nodes: [...migrated, 'c'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const report = await (await startRun(client, taskQueue, unattendedRequest)).result();
    expect(states(report)).toEqual(['migrated', 'migrated', 'migrated']);
    expect(report.notes).toEqual(expect.arrayContaining(['a was already migrated', 'b was already migrated']));
  });
  expect(cluster.calls.filter((call) => call.startsWith('cordonNode'))).toEqual(['cordonNode c']);
});

it('resumes a node whose workflow was terminated', async () => {
  const cluster = fakeCluster({ nodes: [{ name: 'a', flipped: true, cordoned: 'by us', pods: 'canal' }] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    expect(await (await startRun(client, taskQueue, unattendedRequest)).result()).toMatchObject({ phase: 'done' });
  });
  expect(cluster.cordoned()).toEqual([]);
});

it('keeps a node cordoned that was cordoned before the migration', async () => {
  const cluster = fakeCluster({ nodes: [{ name: 'a', cordoned: 'by others' }] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    await (await startRun(client, taskQueue, unattendedRequest)).result();
  });
  expect(cluster.cordoned()).toEqual(['a']);
});

it('does not return to coexistence after the cutover', async () => {
  const cluster = fakeCluster({ nodes: [{ name: 'a', flipped: true }], facts: { ciliumOwnsCni: true } });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    await (await startRun(client, taskQueue, unattendedRequest)).result();
  });
  expect(withoutReads(cluster.calls)).toEqual([...begin, ...cutover('a'), 'verifyBeforeRemoval', ...cleanup('a')]);
});

it('resumes an interrupted cleanup', async () => {
  const cluster = fakeCluster({ nodes: [{ name: 'a', flipped: true }], facts: { ciliumOwnsCni: true } });
  Object.assign(cluster.system, { canal: false, helpers: true });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const report = await (await startRun(client, taskQueue, unattendedRequest)).result();
    expect(report).toMatchObject({ changed: true, phase: 'done' });
  });
  expect(cluster.calls).toEqual([...begin, ...cleanup('a')]);
});

it('has nothing to do when Canal is removed', async () => {
  const cluster = fakeCluster({ facts: { ciliumOwnsCni: true } });
  cluster.system.canal = false;
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const report = await (await startRun(client, taskQueue, unattendedRequest)).result();
    expect(report).toMatchObject({ changed: false, phase: 'done' });
  });
  expect(cluster.calls).toEqual(['inspectCluster']);
});

it('continues as new when its history is long, and keeps its state', async () => {
  const cluster = fakeCluster({ nodes: ['a', 'b', 'c', 'd'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const input = { cluster: 'prod', approval: 'every-wave', waves: { maxConcurrency: 2 } };
    const run = await startRun(client, taskQueue, input, { historyLimit: 150 });
    await waitForPendingWait(run, 'approval of the plan');
    await run.signal(signal('setMaxConcurrency'), { maxConcurrency: 3 });
    await run.signal(signal('approve'), { plan: true, by: 'ann' });
    await run.signal(signal('approve'), { wave: 1, by: 'bob' });
    await run.signal(signal('approve'), { wave: 2, by: 'cid', reason: 'at night' });
    await approveCutover(run);
    await waitForPendingWait(run, 'approval of the cleanup');
    await run.signal(signal('approve'), { cleanup: true });
    const report = await run.result();
    expect(report).toMatchObject({ phase: 'done', waves: 2, maxConcurrency: 3, approvals: { plan: { by: 'ann' } } });
    expect(report.nodes.map(({ name, approval }) => [name, approval?.by])).toEqual([
      ...[
        ['a', 'bob'],
        ['b', 'cid'],
        ['c', 'cid'],
        ['d', 'cid'],
      ],
    ]);
    expect(report.timeline.map(({ phase }) => phase)).toEqual([...new Set(report.timeline.map(({ phase }) => phase))]);
    const described = await client.workflow.getHandle(run.workflowId).describe();
    expect(described.runId).not.toBe(run.firstExecutionRunId);
    // A mistyped address is reported soon; a running migration waits for its API server.
    for (const [runId, attempts] of [
      [run.firstExecutionRunId, 5],
      [described.runId, 2],
    ] as const) {
      const { events } = await client.workflow.getHandle(run.workflowId, runId).fetchHistory();
      const first = (events ?? []).flatMap(({ activityTaskScheduledEventAttributes: activity }) => activity ?? []);
      expect(
        first.slice(0, 2).map(({ activityType, retryPolicy }) => [activityType?.name, retryPolicy?.maximumAttempts])
      ).toEqual([
        ['inspectCluster', attempts],
        ['acquireLock', 2],
      ]);
    }
  });
  expect(cluster.calls.filter((call) => call.startsWith('flipNode'))).toHaveLength(4);
  expect(cluster.broken).toEqual([]);
  expect(cluster.system.lock).toBe('');
});
