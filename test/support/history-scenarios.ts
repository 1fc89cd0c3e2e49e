import { heartbeat } from '@temporalio/activity';
import type { Client, WorkflowHandle } from '@temporalio/client';
import type { Activities } from '../../activities/index.ts';
import type { Blocker } from '../../model/status.ts';
import { preflightWorkflowId, policyReportWorkflowId, signal, update } from '../../workflows/messages.ts';
import { fakeCluster, permanent } from './fake-cluster.ts';
import { fakeFleet } from './fake-fleet.ts';
import { buildFleetRequest, startFleet } from './fleet-run.ts';
import {
  approveCutover,
  type Run,
  startRun,
  unattendedRequest,
  waitForMigrationStatus,
  waitForPendingWait,
} from './migration-run.ts';

/** A run of workflows whose histories are recorded. */
interface Scenario {
  activities: () => Activities;
  /** Starts a workflow, and sends it messages until it needs no more. */
  play: (client: Client, taskQueue: string) => Promise<WorkflowHandle>;
  /**
   * Status with which the workflow ends.
   * @default COMPLETED
   */
  ends?: 'COMPLETED' | 'FAILED' | 'CANCELLED';
}

type FakeOptions = Parameters<typeof fakeCluster>[0];

const cluster = (options: FakeOptions = {}) => {
  return (): Activities => fakeCluster(options).activities;
};

/** Input of a migration whose drain has a whole day. */
const requestWithSlowDrain = { ...unattendedRequest, drain: { timeoutSeconds: 86_400 } };

const budget: Blocker = {
  pod: 'shop/web-1',
  kind: 'DisruptionBudget',
  reason: 'PodDisruptionBudget shop/web allows 0 disruptions',
};

/** Options of a cluster in which the first verification of node a on Cilium fails. */
function failingOnce(): FakeOptions {
  let failed = false;
  return {
    nodes: ['a', 'b'],
    before: (activity, node) => {
      if (failed || activity !== 'verify cilium' || node !== 'a') return;
      failed = true;
      throw permanent('VerificationFailed', 'no DNS');
    },
  };
}

/** Options of a cluster whose drain of node a has a blocker, until the pod may be deleted. */
function blockedDrain(): FakeOptions {
  let rounds = 0;
  return {
    nodes: ['a'],
    left: (_node, forced) => (forced.includes(budget.pod) ? [] : [budget]),
    // The second round lasts until a message ends it.
    pass: async () => {
      if (++rounds > 1) await new Promise(() => setInterval(() => heartbeat(), 50).unref());
    },
  };
}

async function waitForBlocker(run: Run): Promise<void> {
  await waitForMigrationStatus(run, ({ nodes }) => nodes[0]?.blockers?.length === 1);
}

async function playWithPeople(client: Client, taskQueue: string): Promise<Run> {
  const run = await startRun(client, taskQueue, { cluster: 'prod', approval: 'every-wave' });
  await waitForPendingWait(run, 'approval of the plan');
  await run.signal(signal('pause'), { by: 'ann' });
  await waitForPendingWait(run, 'resume');
  await run.signal(signal('resume'), {});
  await run.signal(signal('approve'), { plan: true });
  await waitForPendingWait(run, 'approval of wave 1');
  await run.signal(signal('approve'), { wave: 1 });
  await waitForPendingWait(run, 'a decision about a');
  await run.signal(signal('rollback'), { node: 'a' });
  await waitForPendingWait(run, 'approval of wave 2');
  await run.signal(signal('skip'), { node: 'b' });
  await run.signal(signal('retry'), { node: 'a' });
  await run.signal(signal('approve'), { wave: 2 });
  await waitForPendingWait(run, 'a decision about b');
  await run.signal(signal('retry'), { node: 'b' });
  await run.signal(signal('approve'), { wave: 3 });
  await approveCutover(run);
  await waitForPendingWait(run, 'approval of the cleanup');
  await run.signal(signal('approve'), { cleanup: true });
  return run;
}

async function playUpdates(client: Client, taskQueue: string): Promise<Run> {
  const run = await startRun(client, taskQueue, { cluster: 'prod', cleanup: 'automatic' });
  await waitForPendingWait(run, 'approval of the plan');
  // A refused update: it does not apply.
  await run.executeUpdate(update('resume'), { args: [{}] }).catch(() => undefined);
  await run.executeUpdate(update('setMaxConcurrency'), { args: [{ maxConcurrency: 2 }] });
  await run.executeUpdate(update('approve'), { args: [{ plan: true, by: 'ann' }] });
  await waitForPendingWait(run, 'approval of node a');
  await run.executeUpdate(update('approve'), { args: [{ node: 'a', by: 'ann' }] });
  await waitForPendingWait(run, 'approval of node b');
  await run.executeUpdate(update('rollback'), { args: [{ node: 'a' }] });
  await waitForMigrationStatus(
    run,
    ({ nodes, waitingFor }) =>
      nodes[0]?.state === 'rolled-back' && waitingFor?.startsWith('approval of node b') === true
  );
  await run.executeUpdate(update('rollback'), { args: [{ all: true, by: 'ann' }] });
  return run;
}

async function playContinued(client: Client, taskQueue: string): Promise<Run> {
  const input = { cluster: 'prod', approval: 'every-wave', waves: { maxConcurrency: 2 } };
  const run = await startRun(client, taskQueue, input, { historyLimit: 150 });
  await waitForPendingWait(run, 'approval of the plan');
  await run.signal(signal('approve'), { plan: true, by: 'ann' });
  for (const wave of [1, 2, 3]) await run.signal(signal('approve'), { wave, by: 'ann' });
  await approveCutover(run);
  await waitForPendingWait(run, 'approval of the cleanup');
  await run.signal(signal('approve'), { cleanup: true });
  return run;
}

/** Activities of a cluster whose maintenance window opens after a second. The plan asks first. */
function inWindow(): Activities {
  let asked = 0;
  return {
    ...fakeCluster({ nodes: ['a'] }).activities,
    untilFit: () => Promise.resolve({ waitMs: asked++ === 1 ? 1_000 : 0 }),
  };
}

async function playFleet(client: Client, taskQueue: string): Promise<WorkflowHandle> {
  return startFleet(client, taskQueue, buildFleetRequest(['east', 'west', 'north'], { maxConcurrency: 2 }));
}

/** All scenarios by name. Each is a folder of recorded histories. */
export const scenarios: Readonly<Record<string, Scenario>> = {
  undisturbed: {
    activities: cluster(),
    play: (client, queue) => startRun(client, queue, { ...unattendedRequest, waves: { maxConcurrency: 2 } }),
  },
  'with-people': { activities: () => fakeCluster(failingOnce()).activities, play: playWithPeople },
  updates: { activities: cluster({ nodes: ['a', 'b'] }), play: playUpdates },
  'continued-as-new': { activities: cluster({ nodes: ['a', 'b', 'c', 'd'] }), play: playContinued },
  'rolled-back': {
    activities: cluster({ nodes: ['a'] }),
    play: async (client, queue) => {
      const run = await startRun(client, queue, { ...unattendedRequest, cleanup: 'approve' });
      await waitForPendingWait(run, 'approval of the cleanup');
      await run.signal(signal('rollback'), { all: true });
      return run;
    },
  },
  failed: {
    activities: () => fakeCluster(failingOnce()).activities,
    play: (client, queue) => startRun(client, queue, { ...unattendedRequest, onFailure: 'stop' }),
    ends: 'FAILED',
  },
  cancelled: {
    activities: () => fakeCluster(blockedDrain()).activities,
    play: async (client, queue) => {
      const run = await startRun(client, queue, requestWithSlowDrain);
      await waitForBlocker(run);
      await run.cancel();
      return run;
    },
    ends: 'CANCELLED',
  },
  'forced-pod': {
    activities: () => fakeCluster(blockedDrain()).activities,
    play: async (client, queue) => {
      const run = await startRun(client, queue, requestWithSlowDrain);
      await waitForBlocker(run);
      await run.signal(signal('forcePod'), { pod: budget.pod, by: 'ann' });
      return run;
    },
  },
  window: {
    activities: inWindow,
    play: (client, queue) => {
      const windows = [{ start: '22:00', end: '05:00', timeZone: 'Europe/Berlin' }];
      return startRun(client, queue, { ...unattendedRequest, windows });
    },
  },
  'dry-run': {
    activities: cluster({ nodes: ['a'] }),
    play: (client, queue) => startRun(client, queue, { ...unattendedRequest, dryRun: true }),
  },
  fleet: {
    activities: () => fakeFleet({ east: { nodes: ['a'] }, west: { nodes: ['a'] }, north: { nodes: ['a'] } }).activities,
    play: playFleet,
  },
  preflight: {
    activities: cluster(),
    play: (client, taskQueue) =>
      client.workflow.start('clusterPreflight', {
        ...{ taskQueue, workflowId: preflightWorkflowId('prod') },
        args: [{ cluster: 'prod' }],
      }),
  },
  'policy-report': {
    activities: cluster(),
    play: (client, taskQueue) =>
      client.workflow.start('clusterPolicyReport', {
        ...{ taskQueue, workflowId: policyReportWorkflowId('prod') },
        args: [{ cluster: 'prod' }],
      }),
  },
};
