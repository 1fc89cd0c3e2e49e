import { parseArgs } from 'node:util';
import { fakeCluster } from '../../support/fake-cluster.ts';
import { startRun } from '../../support/migration-run.ts';
import { WorkflowServer } from '../../support/workflow-server.ts';
import type { MigrationRequest } from '../../../model/input.ts';
import { nodeCounts } from '../../../model/status-view.ts';
import { readHistories } from '../histories.ts';
import { recordResult } from '../regressions.ts';
import { rounded } from '../results.ts';
import { temporalRatios, type TemporalRun } from './result.ts';

/**
 * Measures the load of whole migrations of large clusters on Temporal: the real workflows, on a real server with one
 * worker. The cluster is that of the workflows' tests: its activities answer at once, so the result does not show how
 * long nodes take.
 */
async function bench(): Promise<void> {
  const { values } = parseArgs({ options: { nodes: { type: 'string', default: '100,1000,5000' } } });
  const server = new WorkflowServer();
  await server.start();
  try {
    const runs: TemporalRun[] = [];
    for (const nodes of values.nodes.split(',').map(Number)) {
      const run = await migrate(server, nodes);
      console.error(JSON.stringify(run));
      runs.push(run);
    }
    await recordResult('temporal-scale', { waveSize, runs }, temporalRatios);
  } finally {
    await server.stop();
  }
}

const waveSize = 50;

async function migrate(server: WorkflowServer, count: number): Promise<TemporalRun> {
  const nodes = Array.from({ length: count }, (_, index) => `node-${String(index).padStart(5, '0')}`);
  const cluster = fakeCluster({ nodes });
  const request: MigrationRequest = {
    cluster: `big-${count}`,
    approval: 'none',
    cleanup: 'automatic',
    waves: { maxConcurrency: waveSize },
  };
  let result: TemporalRun | undefined;
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const cpu = process.cpuUsage();
    const begin = Date.now();
    const run = await startRun(client, taskQueue, request);
    const report = await run.result();
    const seconds = (Date.now() - begin) / 1_000;
    const { user, system } = process.cpuUsage(cpu);
    if (nodeCounts(report).migrated !== count) throw new Error('a node was not migrated');
    if (cluster.broken.length > 0) throw new Error(cluster.broken.join('; '));
    const { figures } = await readHistories(client, run.workflowId, count);
    result = {
      nodes: count,
      seconds: rounded(seconds),
      workerCpuSeconds: rounded((user + system) / 1e6),
      memoryMiB: Math.round(process.memoryUsage().rss / 2 ** 20),
      ...figures,
    };
  });
  if (result === undefined) throw new Error('no result');
  return result;
}

await bench();
