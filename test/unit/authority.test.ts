import type { Context } from '@temporalio/activity';
import type { Run } from '../../worker/authority/runs.ts';
import { createAuthorityInterceptor } from '../../worker/authority/interceptor.ts';
import { createRunReader } from '../../worker/authority/runs.ts';
import type { Client } from '@temporalio/client';

const taskQueue = 'cni-migration';
const own = { taskQueue, firstRunId: 'first' };
const migration: Run = { ...own, workflowId: 'm', runId: 'first', workflowType: 'clusterMigration' };
const continued: Run = { ...migration, runId: 'second' };
const node: Run = {
  ...{ workflowId: 'm/node/a', runId: 'n', firstRunId: 'n', workflowType: 'nodeMigration', taskQueue },
  parent: { workflowId: 'm', runId: 'first' },
};
const stranger: Run = { ...migration, workflowId: 's', runId: 's', firstRunId: 's', taskQueue: 'other' };

/** What Temporal and the cluster answer. */
interface World {
  runs?: Run[];
  holder?: string;
  /** Whether runs are open, by workflow ID; one that is not named is unknown. */
  open?: Record<string, boolean>;
}

/** Executes an activity that a run has requested. Returns the type of the failure; undefined when it was executed. */
async function execute(
  caller: Run,
  activityType: string,
  argument: object,
  { runs = [caller, migration], holder = 'm first', open = { m: true } }: World = {},
  info: object = {}
): Promise<string | undefined> {
  const factory = createAuthorityInterceptor({
    readRun: ({ runId }) => Promise.resolve(runs.find((run) => run.runId === runId)),
    isOpen: (workflowId) => Promise.resolve(open[workflowId]),
    readHolder: () => Promise.resolve(holder),
  });
  const { workflowId, runId, workflowType } = caller;
  const context = {
    info: {
      ...{ activityType, taskQueue, inWorkflow: true, workflowType, workflowExecution: { workflowId, runId } },
      ...info,
    },
  };
  let executed = 0;
  try {
    await factory(context as unknown as Context).inbound?.execute?.({ args: [argument], headers: {} }, () => {
      executed++;
      return Promise.resolve();
    });
    expect(executed).toBe(1);
    return undefined;
  } catch (error) {
    expect(executed).toBe(0);
    return (error as { type?: string }).type ?? String(error);
  }
}

const prod = { cluster: 'prod' };
const lock = { ...prod, workflowId: 'm', runId: 'first' };

describe('a change of a cluster', () => {
  it.each<[string, Run, World, string | undefined]>([
    ['runs for the holder of the lock', migration, {}, undefined],
    ['runs after the holder has continued as new', continued, {}, undefined],
    ['runs for a node of the holder', node, {}, undefined],
    ['is refused to a run that does not hold it', { ...migration, firstRunId: 'x' }, {}, 'LockLost'],
    ['is refused when the Lease is gone', migration, { holder: '' }, 'LockLost'],
    ['is refused to a node whose open migration lost it', node, { holder: '' }, 'LockLost'],
    ['is refused on another task queue', { ...migration, taskQueue: 'other' }, {}, 'CallerRefused'],
    ['is refused to a run of another type', { ...migration, workflowType: 'fleetMigration' }, {}, 'CallerRefused'],
    ['is refused to a run that Temporal does not know', migration, { runs: [] }, 'CallerRefused'],
    ['is refused to a node without parent', { ...node, parent: undefined }, {}, 'CallerRefused'],
    ['is refused to a node with an unknown parent', node, { runs: [node] }, 'CallerRefused'],
    [
      'is refused to a node with a parent on another task queue',
      { ...node, parent: { workflowId: 's', runId: 's' } },
      { runs: [{ ...node, parent: { workflowId: 's', runId: 's' } }, stranger], holder: 's s' },
      'CallerRefused',
    ],
    [
      'is refused to a node that is the child of a node',
      { ...node, runId: 'n2', parent: { workflowId: 'm/node/a', runId: 'n' } },
      { runs: [{ ...node, runId: 'n2', parent: { workflowId: 'm/node/a', runId: 'n' } }, node, migration] },
      'CallerRefused',
    ],
    [
      'runs for a node that is restored after the end of its migration',
      node,
      { holder: 'm first', open: {} },
      undefined,
    ],
    ['runs for it after the next run took the lock', node, { holder: 'm 2', open: { m: false } }, undefined],
    ['runs for it when nobody holds the lock', node, { holder: '', open: { m: false } }, undefined],
    ['is refused to it when another server holds it', node, { holder: 'x y', open: { m: false } }, 'LockLost'],
  ])('%s', async (_, caller, world, expected) => {
    expect(await execute(caller, 'removeCanal', prod, { runs: [caller, migration], ...world })).toBe(expected);
  });

  it('asks neither Temporal nor the cluster for what only reads', async () => {
    expect(await execute(migration, 'inspectCluster', prod, { runs: [], holder: '' })).toBeUndefined();
  });
});

describe('the lock', () => {
  it.each<[string, Run, object, World, string | undefined]>([
    ['is acquired by a run for itself', migration, lock, { holder: '' }, undefined],
    ['is not acquired for another run', migration, { ...lock, runId: 'x' }, { holder: '' }, 'CallerRefused'],
    ['is not acquired by a node', node, { ...prod, workflowId: 'm/node/a', runId: 'n' }, {}, 'CallerRefused'],
    [
      'is not acquired from another task queue',
      stranger,
      { ...prod, workflowId: 's', runId: 's' },
      {},
      'CallerRefused',
    ],
    ['stays that of the run that continues', continued, lock, { runs: [continued] }, undefined],
    ['is acquired again by a run that continues our migration', continued, lock, { holder: '' }, undefined],
    [
      'is not acquired by a run that continues one of another task queue',
      continued,
      lock,
      { holder: '', runs: [continued, { ...migration, taskQueue: 'other' }] },
      'CallerRefused',
    ],
  ])('%s', async (_, caller, argument, world, expected) => {
    const all = { runs: [caller, migration], ...world };
    expect(await execute(caller, 'acquireLock', argument, all)).toBe(expected);
  });
});

it.each([
  ['no workflow', { inWorkflow: false, workflowExecution: undefined, workflowType: undefined }],
  ['a workflow of another name', { workflowType: 'stranger' }],
])('refuses what %s has requested, also when it only reads', async (_, info) => {
  expect(await execute(migration, 'inspectCluster', prod, {}, info)).toBe('CallerRefused');
});

it('asks Temporal once for each run, and again after it did not answer', async () => {
  const answers = [new Error('no connection'), { workflowExecutionInfo: { type: { name: 'clusterMigration' } } }];
  let asked = 0;
  const describeWorkflowExecution = (): Promise<unknown> => {
    const answer = answers[asked++];
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
  };
  const client = {
    options: { namespace: 'default' },
    workflowService: { describeWorkflowExecution },
    withDeadline: (_deadline: number, call: () => unknown) => call(),
  };
  const read = createRunReader(client as unknown as Client);

  await expect(read(migration)).rejects.toMatchObject({ type: 'CallerUnknown', nonRetryable: false });
  expect(await read(migration)).toMatchObject({ workflowId: 'm', workflowType: 'clusterMigration' });
  await read(migration);

  expect(asked).toBe(2);
});
