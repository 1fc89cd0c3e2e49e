import { randomUUID } from 'node:crypto';
import { Worker } from '@temporalio/worker';
import { waitFor } from '../../lab/process.ts';
import { signal, statusQuery } from '../../workflows/messages.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import {
  approveCutover,
  startRun,
  states,
  unattendedRequest,
  waitForMigrationStatus,
  waitForPendingWait,
} from '../support/migration-run.ts';
import { timeLimits } from '../support/time-limits.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

/**
 * Returns a cluster that records which nodes are between their cordon and their uncordon at the same time. A node's
 * drain waits for the others of its wave.
 * @param expected names of the nodes of each wave, separated by spaces.
 */
function inWaves(expected: readonly string[], options: Parameters<typeof fakeCluster>[0] = {}) {
  const nodesInProgress = new Set<string>();
  const wave = new Set<string>();
  const waves: string[] = [];
  const nodesOfWave = (node: string): string[] =>
    expected.find((names) => names.split(' ').includes(node))?.split(' ') ?? [];
  const cluster = fakeCluster({
    ...options,
    before: async (activity, node = '') => {
      if (activity === 'cordonNode') {
        nodesInProgress.add(node);
        wave.add(node);
      }
      if (activity === 'drain to cilium') {
        const together = (): Promise<boolean> => Promise.resolve(nodesOfWave(node).every((other) => wave.has(other)));
        await waitFor(`the other nodes of ${node}'s wave`, together, {
          timeoutMs: timeLimits.workflowState,
          pollIntervalMs: 20,
        });
      }
      if (activity === 'uncordonNode') nodesInProgress.delete(node);
      if (activity === 'uncordonNode' && nodesInProgress.size === 0 && wave.size > 0) {
        waves.push([...wave].sort().join(' '));
        wave.clear();
      }
    },
  });
  return { cluster, waves };
}

it("migrates a canary, then workers in parallel, control planes one at a time, and the worker's own node last", async () => {
  const nodes = ['w1', 'w2', 'w3', 'w4'];
  const others = [
    { name: 'cp1', controlPlane: true },
    { name: 'cp2', controlPlane: true },
    { name: 'w0-own', hostsWorker: true },
  ];
  const expected = ['w1', 'w2 w3 w4', 'cp1', 'cp2', 'w0-own'];
  const { cluster, waves } = inWaves(expected, { nodes: [...others, ...nodes] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { ...unattendedRequest, waves: { maxConcurrency: 3 } });
    expect(await run.result()).toMatchObject({ phase: 'done', waves: 5 });
  });
  expect(waves).toEqual(expected);
  expect(cluster.broken).toEqual([]);
});

it('finishes the others of a wave when one fails', async () => {
  const cluster = fakeCluster({
    nodes: [{ name: 'z', flipped: true }, 'a', 'b', 'c'],
    before: (activity, node) => {
      if (activity === 'drain to cilium' && node === 'b') throw new Error('no');
    },
  });
  cluster.activities.drainNode = (
    ({ drainNode }) =>
    async (target) => {
      if (target.node === 'b') throw (await import('../support/fake-cluster.ts')).permanent('DrainBlocked', 'no');
      return drainNode(target);
    }
  )(cluster.activities);
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { ...unattendedRequest, waves: { maxConcurrency: 3 } });
    const status = await waitForPendingWait(run, 'a decision about b (DrainBlocked)');
    expect(states(status)).toEqual(['migrated', 'failed', 'migrated', 'migrated']);
    await run.terminate();
  });
});

it('includes nodes that join, and drops those that leave', async () => {
  const cluster = fakeCluster({ nodes: ['a', 'b', 'c'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { cluster: 'prod', approval: 'every-wave', cleanup: 'automatic' });
    await waitForPendingWait(run, 'approval of the plan');
    await run.signal(signal('approve'), { plan: true });
    await waitForPendingWait(run, 'approval of wave 1');
    cluster.add({ name: 'new' });
    cluster.nodes.delete('b');
    await run.signal(signal('approve'), { wave: 1 });
    await waitForPendingWait(run, 'approval of wave 2 (c)');
    await run.signal(signal('approve'), { wave: 2 });
    await waitForPendingWait(run, 'approval of wave 3 (new)');
    await run.signal(signal('approve'), { wave: 3 });
    await approveCutover(run);
    const report = await run.result();
    expect(states(report)).toEqual(['migrated', 'removed', 'migrated', 'migrated']);
    expect(report.notes).toEqual(expect.arrayContaining(['new has joined the cluster', 'b has left the cluster']));
  });
});

it('skips nodes that are not Ready, and includes them automatically when they are', async () => {
  const cluster = fakeCluster({ nodes: [{ name: 'a', ready: false }, 'b'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    const status = await waitForPendingWait(run, 'a decision about a (not-ready)');
    expect(states(status)).toEqual(['not-ready', 'migrated']);
    const node = cluster.nodes.get('a');
    if (node !== undefined) node.ready = true;
    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
});

it('migrates a node again that is recreated under the same name', async () => {
  const cluster = fakeCluster({ nodes: ['a', 'b'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { cluster: 'prod', approval: 'every-wave', cleanup: 'automatic' });
    await waitForPendingWait(run, 'approval of the plan');
    await run.signal(signal('approve'), { plan: true });
    await waitForPendingWait(run, 'approval of wave 1');
    await run.signal(signal('approve'), { wave: 1 });
    await waitForPendingWait(run, 'approval of wave 2');
    cluster.add({ name: 'a' });
    for (const wave of [2, 3]) await run.signal(signal('approve'), { wave });
    await approveCutover(run);
    const { notes } = await run.result();
    expect(notes).toContain('a is no longer migrated');
  });
  expect(cluster.calls.filter((call) => call === 'flipNode a')).toHaveLength(2);
});

it('waits for a maintenance window before everything that disturbs the cluster', async () => {
  const cluster = fakeCluster({ nodes: ['a', 'b'] });
  let isOpen = false;
  // The window closes after each of these steps.
  const disturbing = ['deployProbers', 'uncordonNode a', 'uncordonNode b', 'final values'];
  cluster.activities.untilFit = () => {
    const waitMs = isOpen ? 0 : 500;
    return Promise.resolve({ waitMs });
  };
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const windows = [{ start: '22:00', end: '05:00', timeZone: 'Europe/Berlin' }];
    const run = await startRun(client, taskQueue, { ...unattendedRequest, cleanup: 'approve', windows });
    const isWaiting = async (): Promise<boolean> =>
      (await run.query(statusQuery)).waitingFor?.startsWith('the maintenance window that opens at ') === true;
    for (const step of disturbing) {
      const limits = { timeoutMs: timeLimits.workflowState, pollIntervalMs: 20 };
      await waitFor(`the window before ${step}`, isWaiting, limits);
      expect(cluster.calls).not.toContain(step);
      isOpen = true;
      await waitFor(step, () => Promise.resolve(cluster.calls.includes(step)), limits);
      isOpen = false;
    }
    await waitForPendingWait(run, 'approval of the cleanup');
    await run.signal(signal('approve'), { cleanup: true });
    await waitForPendingWait(run, 'the maintenance window');
    expect(cluster.calls).not.toContain('removeCanal');
    isOpen = true;
    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
});

it('applies a new size of waves from the next wave', async () => {
  const expected = ['a', 'b c', 'd'];
  const { cluster, waves } = inWaves(expected, { nodes: ['a', 'b', 'c', 'd'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    await run.signal(signal('setMaxConcurrency'), { maxConcurrency: 2 });
    await run.result();
  });
  expect(waves).toEqual(expected);
});

describe('modes of a node', () => {
  it('recycles pods on a node that is already flipped and schedulable', async () => {
    const cluster = fakeCluster({ nodes: ['a'] });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      await (await startRun(client, taskQueue, { ...unattendedRequest, drain: { mode: 'recycle' } })).result();
    });
    const steps = cluster.calls.filter((call) => call.endsWith(' a') && !call.startsWith('renew')).slice(0, 10);
    // These two run in parallel.
    expect(steps.slice(7, 9).sort()).toEqual(['checkGates a', 'verify cilium a']);
    expect(steps.toSpliced(7, 2)).toEqual([
      ...[
        'observeNode a',
        'cordonNode a',
        'requireIdentityBridge a',
        'flipNode a',
        'verify cilium a',
        'uncordonNode a',
      ],
      ...['recycle to cilium a', 'uncordonNode a'],
    ]);
  });

  it('waits for an operator to reboot the node, and reports it', async () => {
    const cluster = fakeCluster({ nodes: ['a'] });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, { ...unattendedRequest, reboot: { mode: 'wait-for-human' } });
      const status = await waitForMigrationStatus(run, ({ nodes }) => nodes[0]?.waitingFor !== undefined);
      expect(status.nodes[0]?.waitingFor).toBe('a reboot of a');
      const node = cluster.nodes.get('a');
      if (node !== undefined) node.bootId++;
      const report = await run.result();
      expect(report.nodes[0]?.waitingFor).toBeUndefined();
    });
  });

  it("reboots the node with the operator's hook", async () => {
    const cluster = fakeCluster({ nodes: ['a'] });
    const hookQueue = randomUUID();
    const rebootNode = ({ node: name }: { node: string }): Promise<void> => {
      const node = cluster.nodes.get(name);
      if (node !== undefined) node.bootId++;
      return Promise.resolve();
    };
    const connection = server.env.nativeConnection;
    const hook = await Worker.create({ connection, taskQueue: hookQueue, activities: { rebootNode } });
    await hook.runUntil(
      server.withWorker(cluster.activities, async (client, taskQueue) => {
        const run = await startRun(client, taskQueue, {
          ...unattendedRequest,
          reboot: { mode: 'hook', taskQueue: hookQueue },
        });
        expect(await run.result()).toMatchObject({ phase: 'done' });
      })
    );
    expect(cluster.nodes.get('a')?.bootId).toBe(2);
  });
});
