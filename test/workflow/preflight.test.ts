import { randomUUID } from 'node:crypto';
import { cancelled, heartbeat } from '@temporalio/activity';
import type { clusterPreflight } from '../../workflows/index.ts';
import { apiVersion } from '../../model/api-version.ts';
import { ledgerQuery, planQuery, preflightQuery, signal } from '../../workflows/messages.ts';
import type { CheckOutcome } from '../../model/preflight.ts';
import type { MigrationStatus } from '../../model/status.ts';
import { fakeCluster, permanent } from '../support/fake-cluster.ts';
import {
  waitForFailure,
  startRun,
  states,
  unattendedRequest,
  waitForMigrationStatus,
  waitForQueryResult,
  waitForPendingWait,
} from '../support/migration-run.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

const passed: CheckOutcome = { check: 'kernel', verdict: 'pass', evidence: ['6.1'], ms: 3 };
const warned: CheckOutcome = { check: 'backup', verdict: 'warn', evidence: ['none named'], fix: 'name one', ms: 1 };
const blocked: CheckOutcome = {
  check: 'tunnel-path',
  verdict: 'block',
  evidence: ['node2 to node3 is not answered'],
  fix: 'Let the port through.',
  ms: 9,
};

/** Activities that a run without changes may call. */
const readOnlyActivities = [
  ...[
    'inspectCluster',
    'acquireLock',
    'runPreflight',
    'removeInspectors',
    'releaseLock',
    'observeNodes',
    'planDetails',
  ],
];

describe('a migration that checks block', () => {
  it('ends before any change, with the evidence, the remedy and the waiver', async () => {
    const cluster = fakeCluster({ checks: [passed, warned, blocked] });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, unattendedRequest);
      const failure = await waitForFailure(run);
      expect(failure).toMatchObject({ type: 'PreflightBlocked', details: [[blocked]] });
      expect(failure.message).toContain('tunnel-path: node2 to node3 is not answered\n  Let the port through.');
      expect(failure.message).toContain('"waivers": [{"check": "tunnel-path", "reason": "…"}]');
      expect(await run.query(preflightQuery)).toEqual([passed, warned, blocked]);
    });
    expect(cluster.calls.filter((call) => !readOnlyActivities.includes(call))).toEqual([]);
    expect(cluster.calls).toContain('releaseLock');
  });

  it('starts when that check was waived, and keeps the reason', async () => {
    const cluster = fakeCluster({ nodes: ['a'], checks: [passed, blocked] });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const waivers = [{ check: 'tunnel-path', reason: 'the probe is filtered, VXLAN is not' }];
      const run = await startRun(client, taskQueue, { ...unattendedRequest, waivers });
      const report = await run.result();
      expect(report.phase).toBe('done');
      expect(report.preflight?.[1]).toMatchObject({ check: 'tunnel-path', waived: waivers[0]?.reason });
      expect((await run.query(planQuery))?.waived).toEqual(waivers);
    });
  });

  it('stays blocked with a waiver of another check', async () => {
    const cluster = fakeCluster({ checks: [blocked] });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, {
        ...unattendedRequest,
        waivers: [{ check: 'mtu', reason: 'known' }],
      });
      expect(await waitForFailure(run)).toMatchObject({ type: 'PreflightBlocked' });
    });
  });
});

describe('the checks without a migration', () => {
  it('report every outcome and change nothing', async () => {
    const cluster = fakeCluster({ checks: [passed, blocked] });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await client.workflow.start<typeof clusterPreflight>('clusterPreflight', {
        taskQueue,
        workflowId: randomUUID(),
        args: [{ cluster: 'prod' }],
      });
      expect(await run.result()).toEqual({
        apiVersion,
        cluster: 'prod',
        mayStart: false,
        outcomes: [passed, blocked],
      });
      expect(await run.query(preflightQuery)).toEqual([passed, blocked]);
    });
    expect(cluster.calls).toEqual(['acquireLock', 'runPreflight', 'removeInspectors', 'releaseLock']);
  });

  it('remove their pods when they are cancelled', async () => {
    const cluster = fakeCluster({
      before: async (activity) => {
        if (activity !== 'runPreflight') return;
        // A cancellation arrives with a heartbeat.
        const beat = setInterval(() => heartbeat(), 100);
        await cancelled().finally(() => clearInterval(beat));
      },
    });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await client.workflow.start<typeof clusterPreflight>('clusterPreflight', {
        taskQueue,
        workflowId: randomUUID(),
        args: [{ cluster: 'prod' }],
      });
      const begun = async (): Promise<boolean> =>
        ((await run.describe()).raw.pendingActivities ?? []).some(
          ({ activityType, lastHeartbeatTime }) => activityType?.name === 'runPreflight' && lastHeartbeatTime !== null
        );
      await waitForQueryResult(begun, (has) => has);
      await run.cancel();
      await expect(run.result()).rejects.toThrow();
    });
    expect(cluster.calls).toEqual(['acquireLock', 'removeInspectors', 'releaseLock']);
  });

  it('refuse an invalid input', async () => {
    const cluster = fakeCluster();
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await client.workflow.start<typeof clusterPreflight>('clusterPreflight', {
        taskQueue,
        workflowId: randomUUID(),
        args: [{ cluster: 7 }],
      });
      expect(await waitForFailure(run)).toMatchObject({ type: 'InvalidInput' });
    });
    expect(cluster.calls).toEqual([]);
  });
});

it('runs every phase in a dry run, and changes nothing', async () => {
  const cluster = fakeCluster({ nodes: ['a', 'b'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    // With approvals, for which a dry run does not wait.
    const report = await (await startRun(client, taskQueue, { cluster: 'prod', dryRun: true })).result();
    expect(report.changed).toBe(false);
    expect(report.timeline.map(({ phase }) => phase)).toEqual([
      ...['preflight', 'plan', 'coexistence', 'migrate', 'cutover', 'cleanup', 'done'],
    ]);
    expect(states(report)).toEqual(['pending', 'pending']);
    expect(report.plan?.waves.map(({ nodes }) => nodes)).toEqual([['a'], ['b']]);
    expect(report.dryRunSteps?.map(({ step }) => step)).toEqual([
      ...['coexistence', 'migrate a', 'migrate b', 'cutover', 'cleanup'],
    ]);
  });
  const dryRunCalls = ['dryRunRelease', 'dryRunNode a', 'dryRunNode b', 'dryRunCleanup'];
  expect(cluster.calls.filter((call) => ![...readOnlyActivities, ...dryRunCalls].includes(call))).toEqual([]);
});

it('changes nothing in a dry run after the cutover either', async () => {
  const cluster = fakeCluster({ nodes: [{ name: 'a', flipped: true }], facts: { ciliumOwnsCni: true } });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const report = await (await startRun(client, taskQueue, { ...unattendedRequest, dryRun: true })).result();
    expect(report).toMatchObject({ changed: false, dryRunSteps: [{ step: 'cleanup' }] });
  });
  expect(cluster.calls.filter((call) => ![...readOnlyActivities, 'dryRunCleanup'].includes(call))).toEqual([]);
});

describe('a gate that fails', () => {
  const breach = (where?: string) => (activity: string, node: string | undefined) => {
    if (activity === 'checkGates' && node === where) throw permanent('GateBreached', 'pod-pod/udp: 9000 ms');
  };

  it('fails a node and rolls it back, with the evidence', async () => {
    const cluster = fakeCluster({ nodes: ['a', 'b'], before: breach('a') });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, { ...unattendedRequest, onFailure: 'rollback' });
      const status = await waitForPendingWait(run, 'a decision about a');
      expect(status.nodes[0]).toMatchObject({ state: 'rolled-back' });
      expect(status.nodes[0]?.failure).toMatchObject({ type: 'GateBreached' });
      await run.terminate();
    });
    expect(cluster.nodes.get('a')).toMatchObject({ pods: 'canal', flipped: false, cordoned: false });
    expect(cluster.broken).toEqual([]);
  });

  it('pauses the migration after each step for the whole cluster, and continues when an operator resumes it', async () => {
    let isBreached = true;
    const before = (activity: string, node: string | undefined): void => {
      if (isBreached) breach()(activity, node);
    };
    const cluster = fakeCluster({ nodes: ['a'], before });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, unattendedRequest);
      const steps: string[] = [];
      let resumed: string | undefined;
      while (!steps.includes('the removal of Canal')) {
        const isPausedAgain = ({ paused }: MigrationStatus): boolean => paused !== undefined && paused.at !== resumed;
        const { paused } = await waitForMigrationStatus(run, isPausedAgain);
        expect(paused?.reason).toContain('pod-pod/udp: 9000 ms');
        if (steps.length === 0) expect(cluster.calls).not.toContain('cordonNode a');
        steps.push(/^after (.*?): /.exec(paused?.reason ?? '')?.[1] ?? '');
        // The last gate is evaluated until it holds.
        isBreached = !steps.includes('the removal of Canal');
        resumed = paused?.at;
        await run.signal(signal('resume'), { by: 'ann' });
      }
      // On a slow machine, the time between two steps is evaluated too.
      expect(steps.filter((step) => !step.startsWith('the wait for '))).toEqual([
        ...['the installation of Cilium', 'the cutover', 'the removal of Canal'],
      ]);
      expect((await run.result()).phase).toBe('done');
      expect(await run.query(ledgerQuery)).toEqual({ apiVersion, before: [], during: [], after: [] });
    });
  });

  it('ends the run when the input requests it for failures', async () => {
    const cluster = fakeCluster({ nodes: ['a'], before: breach() });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, { ...unattendedRequest, onFailure: 'stop' });
      expect(await waitForFailure(run)).toMatchObject({ type: 'GateBreached' });
    });
  });
});
