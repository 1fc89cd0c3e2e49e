import type { PolicyReport } from '../../model/policies.ts';
import { apiVersion } from '../../model/api-version.ts';
import { policiesQuery, signal } from '../../workflows/messages.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import {
  startRun,
  states,
  unattendedRequest,
  waitForMigrationStatus,
  waitForPendingWait,
} from '../support/migration-run.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

const waived = { ...unattendedRequest, waivers: [{ check: 'network-policies', reason: 'known' }] };

function report(...different: string[]): PolicyReport {
  const policies = different.map((policy) => ({
    policy,
    verdict: 'different' as const,
    conditions: [],
    reasons: ['a rule has the action Pass'],
    objects: [],
  }));
  return { counts: {}, flows: 1, equal: 0, policies, more: 0 };
}

it('waits when a new policy has another verdict, and continues when it is resumed', async () => {
  let now = report();
  const cluster = fakeCluster({
    policies: () => now,
    before: (activity) => {
      if (activity === 'uncordonNode') now = report('NetworkPolicy shop/new');
    },
  });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    const status = await waitForPendingWait(run, 'resume');
    expect(states(status)).toEqual(['migrated', 'awaiting-approval', 'pending']);
    expect(status.paused?.reason).toContain('NetworkPolicy shop/new (a rule has the action Pass)');
    expect(await run.query(policiesQuery)).toEqual({ apiVersion, ...now });
    await run.signal(signal('resume'), {});
    // It is reported only once.
    expect(states(await run.result())).toEqual(['migrated', 'migrated', 'migrated']);
    expect((await run.result()).policies).toEqual(now);
  });
  expect(cluster.broken).toEqual([]);
});

it('does not wait for a waived difference', async () => {
  const cluster = fakeCluster({ policies: () => report('NetworkPolicy shop/known') });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    expect((await (await startRun(client, taskQueue, waived)).result()).phase).toBe('done');
  });
});

it('does not deploy the bridge or translate policies until the cutover when policies are off', async () => {
  const cluster = fakeCluster();
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    await (await startRun(client, taskQueue, { ...unattendedRequest, policyMode: 'off' })).result();
  });
  const about = (call: string): boolean => /Bridge|TranslatedPolicies|cutover values/.test(call);
  expect(cluster.calls.filter(about)).toEqual(['applyTranslatedPolicies', 'removeIdentityBridge', 'cutover values']);
});

it('deploys the bridge again in a rollback after the cutover, before a pod is on Canal', async () => {
  const cluster = fakeCluster({ facts: { ciliumOwnsCni: true }, nodes: [{ name: 'a', flipped: true }] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, { ...unattendedRequest, cleanup: 'approve' });
    await waitForMigrationStatus(run, ({ phase }) => phase === 'cleanup');
    await run.signal(signal('rollback'), { all: true });
    expect((await run.result()).phase).toBe('rolled-back');
  });
  const order = cluster.calls.filter((call) =>
    /deployIdentityBridge|revertNodeFlip|uninstall|removeIdentity/.test(call)
  );
  expect(order.slice(-4)).toEqual([
    'deployIdentityBridge',
    'revertNodeFlip a',
    'removeIdentityBridge',
    'uninstallCilium',
  ]);
  expect(cluster.broken).toEqual([]);
});

it('compares on request, and changes nothing', async () => {
  const cluster = fakeCluster({ policies: () => report('NetworkPolicy shop/x') });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const found: unknown = await client.workflow.execute('clusterPolicyReport', {
      taskQueue,
      workflowId: 'cni-policy/prod',
      args: [{ cluster: 'prod' }],
    });
    expect(found).toMatchObject({ cluster: 'prod', same: false, policies: [{ policy: 'NetworkPolicy shop/x' }] });
  });
  expect(cluster.calls).toEqual(['comparePolicies']);
});
