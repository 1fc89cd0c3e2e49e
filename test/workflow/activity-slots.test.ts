import { heartbeat } from '@temporalio/activity';
import { Worker } from '@temporalio/worker';
import { dataConverter } from '../../temporal/data-converter.ts';
import { waitFor } from '../../lab/process.ts';
import { readWorkerConfig } from '../../worker/config.ts';
import { slotOptions } from '../../worker/worker-options.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import { timeLimits } from '../support/time-limits.ts';
import { WorkflowServer, plainBundle } from '../support/workflow-server.ts';

const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

/** More than the SDK's default number of activities of a worker. */
const waits = 150;

it('starts other activities while many wait for a long time, with the default configuration', async () => {
  const { client } = server.env;
  const { activities } = fakeCluster({ nodes: ['a'] });
  // An attempt may be repeated.
  const waiting = new Set<string>();
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  const { maxConcurrentActivities } = await readWorkerConfig({ HOME: '/nowhere' });
  const worker = await Worker.create({
    connection: server.env.nativeConnection,
    taskQueue: 'slots',
    workflowBundle: await plainBundle(),
    activities: {
      ...activities,
      acquireLock: () => Promise.resolve(),
      releaseLock: () => Promise.resolve(),
      runPreflight: async ({ input }: { input: { cluster: string } }): Promise<unknown[]> => {
        if (input.cluster === 'quick') return [];
        waiting.add(input.cluster);
        const beat = setInterval(() => heartbeat(), 1_000);
        await released.finally(() => clearInterval(beat));
        return [];
      },
    },
    dataConverter: dataConverter(undefined),
    ...slotOptions(maxConcurrentActivities),
  });
  const start = (cluster: string) =>
    client.workflow.start('clusterPreflight', {
      ...{ taskQueue: 'slots', workflowId: `slots/${cluster}` },
      args: [{ cluster, nodeInspection: false }],
    });
  await worker.runUntil(async () => {
    try {
      const runs: Awaited<ReturnType<typeof start>>[] = [];
      // A few at a time: a busy machine would exceed the time limit of workflow tasks otherwise.
      while (runs.length < waits) {
        runs.push(
          ...(await Promise.all(Array.from({ length: 10 }, (_, index) => start(`waiting-${runs.length + index}`))))
        );
        await waitFor('all to wait', () => Promise.resolve(waiting.size === runs.length), {
          timeoutMs: timeLimits.workflowState,
        });
      }
      expect(await (await start('quick')).result()).toMatchObject({ cluster: 'quick' });
      expect(waiting.size).toBe(waits);
      release();
      await Promise.all(runs.map((run) => run.result()));
    } finally {
      release();
    }
  });
});
