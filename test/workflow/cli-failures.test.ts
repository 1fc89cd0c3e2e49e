import { randomUUID } from 'node:crypto';
import { WorkflowNotFoundError } from '@temporalio/client';
import { type Migration, preflightWorkflowId, startMigration } from '../../client/index.ts';
import { exitCodes } from '../../client/cli/exit-codes.ts';
import { CniMigrate } from '../support/cni-migrate.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import { waitForQueryResult } from '../support/migration-run.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { timeLimits } from '../support/time-limits.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** `cni-migrate` without an answer: it ends, with the documented exit code, and names what may still happen. */
jest.setTimeout(timeLimits.longTest);
const server = new WorkflowServer();
const proxies: TcpProxy[] = [];
beforeAll(() => server.start());
afterEach(async () => {
  for (const proxy of proxies.splice(0)) await proxy.close();
});
afterAll(() => server.stop());

const cli = (...args: string[]) => new CniMigrate(server.env.address, args).end();

const containing = (text: string): string => expect.stringContaining(text) as string;

async function startProxy(target?: string): Promise<TcpProxy> {
  const proxy = await TcpProxy.start(target);
  proxies.push(proxy);
  return proxy;
}

/** Starts a migration and waits for the approval of its plan. */
async function startWaiting(cluster: string, taskQueue: string): Promise<Migration> {
  const migration = await startMigration(server.env.client, { cluster }, { taskQueue });
  await waitForQueryResult(
    () => migration.status(),
    ({ waitingFor }) => waitingFor !== undefined
  );
  return migration;
}

/** Returns the types of the events of a run. */
async function eventTypes(workflowId: string): Promise<string[]> {
  const { events } = await server.env.client.workflow.getHandle(workflowId).fetchHistory();
  return (events ?? []).map(({ eventType }) => String(eventType));
}

it('names the task queue that no worker polls, and sends nothing', async () => {
  const taskQueue = randomUUID();

  const started = await cli('start', 'idle', '--task-queue', taskQueue);
  const before = await eventTypes('cni-migration/idle');
  const answers = {
    approve: await cli('approve', 'idle', '--plan'),
    status: await cli('status', 'idle'),
    watch: await cli('status', 'idle', '--watch'),
    preflight: await cli('preflight', 'idle', '--task-queue', taskQueue),
    policies: await cli('policy', 'report', 'idle', '--task-queue', taskQueue),
  };

  expect(started).toMatchObject({
    code: exitCodes.ok,
    err: containing(`no worker polls the task queue "${taskQueue}"`),
  });
  const missing = { code: exitCodes.unreachable, err: containing(`no worker polls the task queue "${taskQueue}"`) };
  for (const [command, answer] of Object.entries(answers)) expect({ command, ...answer }).toMatchObject(missing);
  expect(await eventTypes('cni-migration/idle')).toEqual(before);
  const preflight = server.env.client.workflow.getHandle(preflightWorkflowId('idle'));
  await expect(preflight.describe()).rejects.toThrow(WorkflowNotFoundError);
});

it('does not wait longer than its time limit for a worker that has stopped, and says what may still happen', async () => {
  let queue = '';
  await server.withWorker(fakeCluster({ nodes: ['a'] }).activities, async (_client, taskQueue) => {
    queue = taskQueue;
    await startWaiting('left', taskQueue);
  });

  const paused = await cli('pause', 'left', '--timeout', '1');
  // Reads the status first, and then sends nothing.
  const approved = await cli('approve', 'left', '--plan', '--timeout', '1');
  const status = await cli('status', 'left', '--timeout', '1');
  const preflight = await cli('preflight', 'left', '--timeout', '1', '--task-queue', queue);
  const interrupted = new CniMigrate(server.env.address, ['pause', 'left', '--timeout', '600']);
  await interrupted.waitForText('# temporal workflow update');
  interrupted.interrupt();

  for (const [answer, consequence] of [
    [paused, 'a worker may still apply it'],
    [approved, 'check that a worker is running'],
    [status, 'check that a worker is running'],
    [preflight, 'runs as soon as a worker does'],
  ] as const) {
    expect(answer).toMatchObject({ code: exitCodes.unreachable, err: containing(consequence) });
    // The time until the connection was there is part of the limit.
    expect(answer.err).toMatch(/ got no answer within (0(\.\d)?|1) s: /);
  }
  expect(await interrupted.end()).toMatchObject({
    code: exitCodes.interrupted,
    err: containing('a worker may still apply it; check with: cni-migrate status left'),
  });
});

it('reports a server that cannot be reached or does not answer', async () => {
  const silent = await startProxy();

  for (const address of ['127.0.0.1:1', silent.address]) {
    const answer = await cli('approve', 'prod', '--plan', '--timeout', '1', '--address', address);

    expect(answer).toMatchObject({
      code: exitCodes.unreachable,
      err: containing(`cannot reach Temporal at ${address}`),
    });
  }
});

it.each(['silence', 'close'] as const)('reports a server that ends in the middle (%s)', async (failure) => {
  const cluster = `cut-${failure}`;
  await server.withWorker(fakeCluster({ nodes: ['a'] }).activities, async (_client, taskQueue) => {
    await startWaiting(cluster, taskQueue);
    const proxy = await startProxy(server.env.address);
    const { address } = proxy;
    const watch = new CniMigrate(address, ['status', cluster, '--watch', '--timeout', '2']);
    await watch.waitForText('waiting for approval of the plan');

    if (failure === 'silence') proxy.silence();
    else await proxy.close();

    expect(await watch.end()).toMatchObject({
      code: exitCodes.unreachable,
      err: containing(`cannot reach Temporal at ${address}`),
    });
    await server.env.client.workflow.getHandle(`cni-migration/${cluster}`).terminate();
  });
});

it('reports names that do not exist', async () => {
  const namespace = { code: exitCodes.notFound, err: containing('Temporal has no namespace "absent"') };
  for (const command of [['status'], ['approve', '--plan'], ['start'], ['preflight'], ['report']]) {
    const [name = '', ...options] = command;
    const answer = await cli(name, 'prod', ...options, '--namespace', 'absent');

    expect({ command, ...answer }).toMatchObject({ command, ...namespace });
  }
  for (const command of [['status'], ['approve', '--plan'], ['plan'], ['report'], ['status', '--watch']]) {
    const [name = '', ...options] = command;
    const answer = await cli(name, 'prdo', ...options);

    expect({ command, ...answer }).toMatchObject({
      command,
      code: exitCodes.notFound,
      err: containing('no migration of "prdo" (cni-migration/prdo): check the name'),
    });
  }
});

it('reports that a migration has ended', async () => {
  await server.withWorker(fakeCluster({ nodes: ['a'] }).activities, async (_client, taskQueue) => {
    const migration = await startWaiting('over', taskQueue);
    await migration.abort({ by: 'ann' });
    await expect(migration.result()).rejects.toThrow();

    expect(await cli('approve', 'over', '--plan')).toMatchObject({
      code: exitCodes.notFound,
      err: containing('cni-migration/over has ended (FAILED)'),
    });
    expect(await cli('status', 'over')).toMatchObject({ code: exitCodes.ok });
  });
});
