import { fleetReportIntervalMs } from '../../model/fleet-status.ts';
import { clusterProgressSignal, migrationWorkflowId } from '../../workflows/messages.ts';
import { permanent, waitForCancellation } from '../support/fake-cluster.ts';
import { fakeFleet } from '../support/fake-fleet.ts';
import {
  clusterNames,
  buildFleetRequest,
  fleetStates,
  startFleet,
  waitForFleetStatus,
  type FleetRun,
} from '../support/fleet-run.ts';
import { waitForFailure } from '../support/migration-run.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

it('migrates the canary first, then the others, with limited concurrency', async () => {
  const { a, b, c, d } = clusterNames('a', 'b', 'c', 'd');
  const open = new Set<string>();
  let most = 0;
  const order: string[] = [];
  const watched = (name: string) => ({
    nodes: ['n1'],
    before: (activity: string) => {
      if (activity === 'inspectCluster') {
        open.add(name);
        order.push(name);
        if (name === a) expect(open.size).toBe(1);
        most = Math.max(most, open.size);
      }
      if (activity === 'releaseLock') open.delete(name);
    },
  });
  const { activities, clusters } = fakeFleet({ [a]: watched(a), [b]: watched(b), [c]: watched(c), [d]: watched(d) });
  await server.withWorker(activities, async (client, taskQueue) => {
    const run = await startFleet(client, taskQueue, buildFleetRequest([a, b, c, d], { maxConcurrency: 2 }));
    const status = await run.result();
    expect(fleetStates(status)).toEqual({ a: 'migrated', b: 'migrated', c: 'migrated', d: 'migrated' });
    const [first] = status.clusters;
    expect(first).toMatchObject({ canary: true, workflowId: migrationWorkflowId(a) });
    const others = status.clusters.slice(1).map(({ startedAt = '' }) => startedAt);
    expect(others.every((at) => at >= (first?.endedAt ?? ''))).toBe(true);
  });
  expect(order[0]).toBe(a);
  expect(most).toBe(2);
  for (const { broken } of Object.values(clusters)) expect(broken).toEqual([]);
});

it('gets few reports from a migration: the newest once a minute, and its end', async () => {
  const { a } = clusterNames('a');
  const { activities } = fakeFleet({ [a]: { nodes: ['n1', 'n2', 'n3'] } });
  await server.withWorker(activities, async (client, taskQueue) => {
    const startMs = Date.now();
    const run = await startFleet(client, taskQueue, buildFleetRequest([a]));
    await run.result();
    const maxReports = 2 + (Date.now() - startMs) / fleetReportIntervalMs;

    const { events } = await client.workflow.getHandle(run.workflowId).fetchHistory();
    const signals = events?.map((event) => event.workflowExecutionSignaledEventAttributes?.signalName);
    const reports = signals?.filter((name) => name === clusterProgressSignal.name);

    // Every phase and every tenth of the nodes is a change.
    expect(reports?.length).toBeGreaterThan(0);
    expect(reports?.length).toBeLessThanOrEqual(maxReports);
  });
});

it('starts no other cluster after a failure until an operator decides', async () => {
  const { a, b, c } = clusterNames('a', 'b', 'c');
  let failing = true;
  const fails = {
    nodes: ['n1'],
    before: (activity: string) => {
      if (activity === 'inspectCluster' && failing) throw permanent('SourceNotFound', 'no Canal here');
    },
  };
  const { activities, clusters } = fakeFleet({ [a]: { nodes: ['n1'] }, [b]: fails, [c]: { nodes: ['n1'] } });
  await server.withWorker(activities, async (client, taskQueue) => {
    const run = await startFleet(client, taskQueue, buildFleetRequest([a, b, c]));
    const stopped = await waitForFleetStatus(run, ({ waitingFor }) => waitingFor?.startsWith('a decision') === true);
    expect(fleetStates(stopped)).toEqual({ a: 'migrated', b: 'failed', c: 'pending' });
    expect(stopped.clusters[1]?.failure).toEqual({ type: 'SourceNotFound', message: 'no Canal here' });
    expect(clusters[c]?.calls).toEqual([]);
    failing = false;
    await run.signal('retry', { cluster: b, by: 'ann' });
    expect(fleetStates(await run.result())).toEqual({ a: 'migrated', b: 'migrated', c: 'migrated' });
  });
});

it('continues with the others after a failure when configured so, but not after that of a canary', async () => {
  const { a, b, c, d } = clusterNames('a', 'b', 'c', 'd');
  const fails = {
    nodes: ['n1'],
    before: (activity: string) => {
      if (activity === 'inspectCluster') throw permanent('SourceNotFound', 'no Canal here');
    },
  };
  const { activities, clusters } = fakeFleet({
    [a]: { nodes: ['n1'] },
    [b]: fails,
    [c]: { nodes: ['n1'] },
    [d]: fails,
  });
  await server.withWorker(activities, async (client, taskQueue) => {
    const run = await startFleet(client, taskQueue, buildFleetRequest([a, b, c], { onFailure: 'continue' }));
    const wanted = { a: 'migrated', b: 'failed', c: 'migrated' };
    await waitForFleetStatus(run, (status) => JSON.stringify(fleetStates(status)) === JSON.stringify(wanted));
    await run.signal('abort', { by: 'ann' });
    expect(await waitForFailure(run)).toMatchObject({ type: 'Aborted' });
    const before = clusters[c]?.calls.length;
    const canary = await startFleet(client, taskQueue, buildFleetRequest([d, c], { onFailure: 'continue' }));
    await waitForFleetStatus(canary, ({ waitingFor }) => waitingFor?.startsWith('a decision') === true);
    expect(clusters[c]?.calls.length).toBe(before);
    await canary.signal('abort', {});
    await waitForFailure(canary);
  });
});

it('reports a cluster that another run already migrates', async () => {
  const { a } = clusterNames('a');
  const { activities } = fakeFleet({ [a]: { nodes: ['n1'] } });
  await server.withWorker(activities, async (client, taskQueue) => {
    const other = await client.workflow.start('clusterMigration', {
      taskQueue,
      workflowId: migrationWorkflowId(a),
      args: [{ cluster: a, cleanup: 'automatic' }],
    });
    const run = await startFleet(client, taskQueue, buildFleetRequest([a]));
    const status = await waitForFleetStatus(run, ({ waitingFor }) => waitingFor?.startsWith('a decision') === true);
    expect(status.clusters[0]?.failure?.type).toBe('MigrationRunning');
    await other.signal('abort', {});
    await waitForFailure(other);
    await run.signal('retry', { cluster: a });
    expect(fleetStates(await run.result())).toEqual({ a: 'migrated' });
  });
});

it('cancels its running clusters, which restore their nodes, when it is cancelled', async () => {
  const { a, b } = clusterNames('a', 'b');
  let flipping = false;
  const { activities, clusters } = fakeFleet({
    [a]: {
      nodes: ['n1'],
      before: async (activity) => {
        if (activity !== 'flipNode') return;
        flipping = true;
        await waitForCancellation();
        // A request that is already on its way is not cancelled.
        await new Promise((resolve) => setTimeout(resolve, 500));
      },
    },
    [b]: { nodes: ['n1'] },
  });
  await server.withWorker(activities, async (client, taskQueue) => {
    const run = await startFleet(client, taskQueue, buildFleetRequest([a, b]));
    await waitForFleetStatus(run, () => flipping);
    await run.cancel();
    await expect(run.result()).rejects.toThrow();
  });
  expect(clusters[a]?.cordoned()).toEqual([]);
  expect(clusters[a]?.nodes.get('n1')).toMatchObject({ pods: 'canal', cni: 'canal' });
  expect(clusters[b]?.calls).toEqual([]);
});

it.each([
  ['no cluster', { fleet: 'x', clusters: [] }, 'clusters: '],
  ['a cluster twice', { fleet: 'x', clusters: [{ cluster: 'p' }, { cluster: 'p' }] }, 'duplicate cluster p'],
  [
    'an error in the last cluster',
    { fleet: 'x', clusters: [{ cluster: 'p' }, { cluster: 'q', wave: 1 }] },
    'clusters.1: ',
  ],
  ['a mistake in what all have', { fleet: 'x', clusters: [{ cluster: 'p' }], defaults: { podCidr: '1' } }, 'podCidr'],
  [
    'values that the migration sets',
    { fleet: 'x', clusters: [{ cluster: 'p', values: { tunnelPort: 1 } }] },
    'values.tunnelPort',
  ],
  ['a name that is none', { fleet: 'a/b', clusters: [{ cluster: 'p' }] }, 'fleet: '],
])('refuses %s', async (_, request, message) => {
  const { activities } = fakeFleet({ p: {} });
  await server.withWorker(activities, async (client, taskQueue) => {
    const failure = await waitForFailure(await startFleet(client, taskQueue, request));
    expect(failure).toMatchObject({ type: 'InvalidInput' });
    expect(failure.message).toContain(message);
  });
});

/** Returns the number of updates in the history. An update that its validator refuses leaves no event. */
async function countAcceptedUpdates(run: FleetRun): Promise<number> {
  const { events } = await run.fetchHistory();
  return (events ?? []).filter((event) => event.workflowExecutionUpdateAcceptedEventAttributes != null).length;
}

it('notes or refuses invalid messages', async () => {
  const { a } = clusterNames('a');
  const { activities } = fakeFleet({ [a]: { nodes: ['n1'] } });
  await server.withWorker(activities, async (client, taskQueue) => {
    const run = await startFleet(client, taskQueue, buildFleetRequest([a], { approval: 'every-cluster' }));
    await waitForFleetStatus(run, ({ waitingFor }) => waitingFor !== undefined);
    await run.signal('approve', { cluster: 'nobody' });
    await run.signal('retry', { cluster: a });
    await run.signal('approve', 'yes');
    const { notes } = await waitForFleetStatus(run, ({ notes: some }) => some.length === 3);
    expect(notes[0]).toContain('approve was ignored: the fleet has no cluster nobody');
    expect(notes[1]).toContain(
      `retry was ignored: ${a} is pending; only failed, skipped, rolled-back clusters can be retried`
    );
    await expect(run.executeUpdate('approve', { args: [{ cluster: 'nobody' }] })).rejects.toThrow();
    expect(await countAcceptedUpdates(run)).toBe(0);
    expect(await run.executeUpdate('approve', { args: [{ cluster: a }] })).toBe(`${a} is approved`);
    await run.result();
  });
});
