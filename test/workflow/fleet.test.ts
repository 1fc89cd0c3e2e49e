import { randomUUID } from 'node:crypto';
import type { Client, WorkflowHandle } from '@temporalio/client';
import type { fleetMigration } from '../../workflows/index.ts';
import { fleetStatusQuery, fleetWorkflowId, migrationWorkflowId } from '../../workflows/messages.ts';
import type { FleetRequest } from '../../model/fleet-input.ts';
import type { FleetStatus } from '../../model/fleet-status.ts';
import { permanent, untilCancelled } from '../support/fake-cluster.ts';
import { fakeFleet } from '../support/fake-fleet.ts';
import { failureOf, untilQueried } from '../support/migration-run.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

const server = new WorkflowServer('real');
beforeAll(() => server.start());
afterAll(() => server.stop());

type FleetRun = WorkflowHandle<typeof fleetMigration>;

/** Names of clusters that no other test uses: they are workflow IDs. */
function names<N extends string>(...wanted: N[]): Record<N, string> {
  const end = randomUUID().slice(0, 8);
  return Object.fromEntries(wanted.map((name) => [name, `${name}-${end}`])) as Record<N, string>;
}

const alone = { approval: 'none', cleanUp: 'automatic' };

function start(client: Client, taskQueue: string, request: unknown): Promise<FleetRun> {
  return client.workflow.start<typeof fleetMigration>('fleetMigration', {
    taskQueue,
    workflowId: fleetWorkflowId(randomUUID()),
    args: [request],
  });
}

function fleet(clusters: string[], more: Partial<FleetRequest> = {}): FleetRequest {
  return {
    fleet: 'eu',
    defaults: alone,
    approval: 'none',
    ...more,
    clusters: clusters.map((cluster) => ({ cluster })),
  };
}

function until(run: FleetRun, wanted: (status: FleetStatus) => boolean): Promise<FleetStatus> {
  return untilQueried(() => run.query(fleetStatusQuery), wanted);
}

const stateOf = ({ clusters }: FleetStatus): Record<string, string> =>
  Object.fromEntries(clusters.map(({ cluster, state }) => [cluster.split('-')[0] ?? '', state]));

it('migrates the canary first, then others a few at a time, never more', async () => {
  const { a, b, c, d } = names('a', 'b', 'c', 'd');
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
    const run = await start(client, taskQueue, fleet([a, b, c, d], { concurrency: 2 }));
    const status = await run.result();
    expect(stateOf(status)).toEqual({ a: 'migrated', b: 'migrated', c: 'migrated', d: 'migrated' });
    const [first] = status.clusters;
    expect(first).toMatchObject({ canary: true, workflowId: migrationWorkflowId(a) });
    const others = status.clusters.slice(1).map(({ startedAt = '' }) => startedAt);
    expect(others.every((at) => at >= (first?.endedAt ?? ''))).toBe(true);
  });
  expect(order[0]).toBe(a);
  expect(most).toBe(2);
  for (const { broken } of Object.values(clusters)) expect(broken).toEqual([]);
});

it('lets a cluster begin when a human says so, and shows where each is', async () => {
  const { a, b } = names('a', 'b');
  const { activities } = fakeFleet({ [a]: { nodes: ['n1', 'n2'] }, [b]: { nodes: ['n1'] } });
  await server.withWorker(activities, async (client, taskQueue) => {
    const request = fleet([a, b], { approval: 'every-cluster', defaults: { ...alone, cleanUp: 'approve' } });
    const run = await start(client, taskQueue, request);
    const waiting = await until(run, ({ waitingFor }) => waitingFor !== undefined);
    expect(waiting).toMatchObject({
      waitingFor: `approval of ${a}`,
      answers: [{ message: 'approve', input: { cluster: a } }],
    });
    await run.signal('approve', { cluster: a, by: 'ann' });
    const shown = await until(run, ({ clusters }) => clusters[0]?.progress?.phase === 'clean-up');
    expect(shown.clusters[0]).toMatchObject({ state: 'migrating', progress: { migrated: 2, nodes: 2 } });
    await until(
      run,
      ({ clusters }) => clusters[0]?.progress?.waitingFor?.startsWith('approval of the clean-up') === true
    );
    await client.workflow.getHandle(migrationWorkflowId(a)).signal('approve', { cleanup: true, by: 'ann' });
    await until(run, ({ waitingFor }) => waitingFor === `approval of ${b}`);
    await run.signal('skip', { cluster: b, by: 'bob', reason: 'later' });
    const status = await run.result();
    expect(stateOf(status)).toEqual({ a: 'migrated', b: 'skipped' });
    expect(status.clusters[1]?.decision).toMatchObject({ by: 'bob', reason: 'later' });
  });
});

it('begins no other after a failure, until a human has decided', async () => {
  const { a, b, c } = names('a', 'b', 'c');
  let failing = true;
  const fails = {
    nodes: ['n1'],
    before: (activity: string) => {
      if (activity === 'inspectCluster' && failing) throw permanent('SourceNotFound', 'no Canal here');
    },
  };
  const { activities, clusters } = fakeFleet({ [a]: { nodes: ['n1'] }, [b]: fails, [c]: { nodes: ['n1'] } });
  await server.withWorker(activities, async (client, taskQueue) => {
    const run = await start(client, taskQueue, fleet([a, b, c]));
    const stopped = await until(run, ({ waitingFor }) => waitingFor?.startsWith('a decision') === true);
    expect(stateOf(stopped)).toEqual({ a: 'migrated', b: 'failed', c: 'pending' });
    expect(stopped.clusters[1]?.failure).toEqual({ type: 'SourceNotFound', message: 'no Canal here' });
    expect(clusters[c]?.calls).toEqual([]);
    failing = false;
    await run.signal('retry', { cluster: b, by: 'ann' });
    expect(stateOf(await run.result())).toEqual({ a: 'migrated', b: 'migrated', c: 'migrated' });
  });
});

it('goes on with the others after a failure when told so, but not after a canary’s', async () => {
  const { a, b, c, d } = names('a', 'b', 'c', 'd');
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
    const run = await start(client, taskQueue, fleet([a, b, c], { onFailure: 'continue' }));
    const wanted = { a: 'migrated', b: 'failed', c: 'migrated' };
    await until(run, (status) => JSON.stringify(stateOf(status)) === JSON.stringify(wanted));
    await run.signal('abort', { by: 'ann' });
    expect(await failureOf(run)).toMatchObject({ type: 'Aborted' });
    const before = clusters[c]?.calls.length;
    const canary = await start(client, taskQueue, fleet([d, c], { onFailure: 'continue' }));
    await until(canary, ({ waitingFor }) => waitingFor?.startsWith('a decision') === true);
    expect(clusters[c]?.calls.length).toBe(before);
    await canary.signal('abort', {});
    await failureOf(canary);
  });
});

it('begins no other while it is paused or the canaries soak', async () => {
  const { a, b } = names('a', 'b');
  const { activities } = fakeFleet({ [a]: { nodes: ['n1'] }, [b]: { nodes: ['n1'] } });
  await server.withWorker(activities, async (client, taskQueue) => {
    const run = await start(client, taskQueue, fleet([a, b], { soakSeconds: 3 }));
    const soaking = await until(run, ({ waitingFor }) => waitingFor?.startsWith('the canaries to soak') === true);
    expect(stateOf(soaking)).toEqual({ a: 'migrated', b: 'pending' });
    expect(await run.executeUpdate('pause', { args: [{ by: 'ann' }] })).toContain('no other cluster begins');
    await new Promise((resolve) => setTimeout(resolve, 3_500));
    const paused = await run.query(fleetStatusQuery);
    expect(paused).toMatchObject({ waitingFor: 'somebody to resume it (paused by ann)' });
    expect(stateOf(paused)).toEqual({ a: 'migrated', b: 'pending' });
    await run.signal('resume', {});
    const { clusters } = await run.result();
    const [first, second] = clusters;
    expect(Date.parse(second?.startedAt ?? '') - Date.parse(first?.endedAt ?? '')).toBeGreaterThanOrEqual(3_000);
  });
});

it('says of a cluster that somebody else migrates already', async () => {
  const { a } = names('a');
  const { activities } = fakeFleet({ [a]: { nodes: ['n1'] } });
  await server.withWorker(activities, async (client, taskQueue) => {
    const other = await client.workflow.start('clusterMigration', {
      taskQueue,
      workflowId: migrationWorkflowId(a),
      args: [{ cluster: a, cleanUp: 'automatic' }],
    });
    const run = await start(client, taskQueue, fleet([a]));
    const status = await until(run, ({ waitingFor }) => waitingFor?.startsWith('a decision') === true);
    expect(status.clusters[0]?.failure?.type).toBe('MigrationRunning');
    await other.signal('abort', {});
    await failureOf(other);
    await run.signal('retry', { cluster: a });
    expect(stateOf(await run.result())).toEqual({ a: 'migrated' });
  });
});

it('has its clusters give back what is under way when it is cancelled', async () => {
  const { a, b } = names('a', 'b');
  let flipping = false;
  const { activities, clusters } = fakeFleet({
    [a]: {
      nodes: ['n1'],
      before: async (activity) => {
        if (activity !== 'flipNode') return;
        flipping = true;
        await untilCancelled();
        // A request that is on its way is not called back.
        await new Promise((resolve) => setTimeout(resolve, 500));
      },
    },
    [b]: { nodes: ['n1'] },
  });
  await server.withWorker(activities, async (client, taskQueue) => {
    const run = await start(client, taskQueue, fleet([a, b]));
    await until(run, () => flipping);
    await run.cancel();
    await expect(run.result()).rejects.toThrow();
  });
  expect(clusters[a]?.cordoned()).toEqual([]);
  expect(clusters[a]?.nodes.get('n1')).toMatchObject({ pods: 'source', cni: 'source' });
  expect(clusters[b]?.calls).toEqual([]);
});

it.each([
  ['no cluster', { fleet: 'x', clusters: [] }, 'clusters: '],
  ['a cluster twice', { fleet: 'x', clusters: [{ cluster: 'p' }, { cluster: 'p' }] }, 'p is there more than once'],
  [
    'a mistake in the last cluster',
    { fleet: 'x', clusters: [{ cluster: 'p' }, { cluster: 'q', wave: 1 }] },
    'clusters.1: ',
  ],
  ['a mistake in what all have', { fleet: 'x', clusters: [{ cluster: 'p' }], defaults: { podCidr: '1' } }, 'podCidr'],
  [
    'values that are ours',
    { fleet: 'x', clusters: [{ cluster: 'p', values: { tunnelPort: 1 } }] },
    'values.tunnelPort',
  ],
  ['a name that is none', { fleet: 'a/b', clusters: [{ cluster: 'p' }] }, 'fleet: '],
])('refuses %s', async (_, request, words) => {
  const { activities } = fakeFleet({ p: {} });
  await server.withWorker(activities, async (client, taskQueue) => {
    const failure = await failureOf(await start(client, taskQueue, request));
    expect(failure).toMatchObject({ type: 'InvalidInput' });
    expect(failure.message).toContain(words);
  });
});

it('notes or refuses messages that make no sense', async () => {
  const { a } = names('a');
  const { activities } = fakeFleet({ [a]: { nodes: ['n1'] } });
  await server.withWorker(activities, async (client, taskQueue) => {
    const run = await start(client, taskQueue, fleet([a], { approval: 'every-cluster' }));
    await until(run, ({ waitingFor }) => waitingFor !== undefined);
    await run.signal('approve', { cluster: 'nobody' });
    await run.signal('retry', { cluster: a });
    await run.signal('approve', 'yes');
    const { notes } = await until(run, ({ notes: some }) => some.length === 3);
    expect(notes[0]).toBe('approve was ignored: the fleet has no cluster nobody');
    expect(notes[1]).toBe(`retry was ignored: ${a} is pending`);
    await expect(run.executeUpdate('approve', { args: [{ cluster: 'nobody' }] })).rejects.toThrow();
    expect(await run.executeUpdate('approve', { args: [{ cluster: a }] })).toBe(`${a} may begin`);
    await run.result();
  });
});
