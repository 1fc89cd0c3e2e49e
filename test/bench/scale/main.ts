import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Client, Connection } from '@temporalio/client';
import type { Lab } from '../../../lab/cluster/lab.ts';
import { startTemporal } from '../../../lab/cluster/temporal.ts';
import { buildMissing } from '../../../lab/tools/build.ts';
import { ComposeStack } from '../../support/compose-stack.ts';
import { migrationWorkflowId, defaultTaskQueue, statusQuery } from '../../../workflows/messages.ts';
import { maxWaveSize, type MigrationRequest } from '../../../model/input.ts';
import { nodeCounts } from '../../../model/status-view.ts';
import type { MigrationReport, MigrationStatus } from '../../../model/status.ts';
import { readHistories } from '../histories.ts';
import { recordResult } from '../regressions.ts';
import { rounded } from '../results.ts';
import { withLab, type OnEnd } from '../with-lab.ts';
import { actAsOperator, simulatedCluster, targetPodCidr } from './cluster.ts';
import { Bystander, ProcessMeter } from './observers.ts';
import { scaleRatios, type ScaleRun } from './result.ts';
import { WorkerPool } from './workers.ts';

/**
 * Migrates a large cluster whose API server, etcd, scheduler and controllers are real, with real workers and a real
 * Temporal; only the machines are simulated.
 */
async function bench(): Promise<void> {
  const { values } = parseArgs({
    options: {
      nodes: { type: 'string', default: '100' },
      'pods-per-node': { type: 'string', default: '30' },
      /** @default the largest allowed size, or a quarter of the nodes */
      'wave-size': { type: 'string' },
      workers: { type: 'string', default: '1' },
      /** Interval in seconds at which one worker is killed and replaced by a new one. */
      'kill-every': { type: 'string' },
      postgresql: { type: 'boolean', default: false },
    },
  });
  const numbers = { nodes: Number(values.nodes), podsPerNode: Number(values['pods-per-node']) };
  const plan: Plan = {
    ...numbers,
    waveSize: Number(values['wave-size'] ?? Math.min(maxWaveSize, Math.ceil(numbers.nodes / 4))),
    workers: Number(values.workers),
    killEverySeconds: values['kill-every'] === undefined ? undefined : Number(values['kill-every']),
    postgresql: values.postgresql,
  };
  const run = await withLab((name, onEnd) => migrate(name, plan, onEnd));
  console.error(JSON.stringify(run, null, 2));
  const kind = values['kill-every'] === undefined ? 'scale' : 'workers-killed';
  await recordResult(`${kind}-${numbers.nodes}-nodes`, run, scaleRatios);
}

interface Plan {
  nodes: number;
  podsPerNode: number;
  waveSize: number;
  workers: number;
  killEverySeconds: number | undefined;
  postgresql: boolean;
}

async function migrate(name: string, plan: Plan, onEnd: OnEnd): Promise<ScaleRun> {
  const { nodes, podsPerNode } = plan;
  const log = (line: string): void => console.error(`${new Date().toISOString().slice(11, 19)} ${line}`);
  const lab = await simulatedCluster({ name, nodes, podsPerNode, log });
  // The dev server is stopped with the lab.
  const address = plan.postgresql ? await startStack(lab, log, onEnd) : (await startTemporal(lab)).address;
  return measure(lab, address, plan, log);
}

async function measure(lab: Lab, address: string, plan: Plan, log: (line: string) => void): Promise<ScaleRun> {
  const { nodes, podsPerNode, waveSize } = plan;
  const bystander = await Bystander.start(lab);
  const workers = new WorkerPool(lab, address);
  for (let index = 0; index < plan.workers; index++) await workers.add();
  const meter = new ProcessMeter(() => workers.pids());
  const connection = await Connection.connect({ address });
  let phases: PhaseClock | undefined;
  try {
    const client = new Client({ connection });
    bystander.reset();
    await new Promise((resolve) => setTimeout(resolve, 60_000));
    const before = bystander.reset();
    const begin = Date.now();
    const workflowId = migrationWorkflowId(lab.layout.context);
    const handle = await client.workflow.start('clusterMigration', {
      workflowId,
      taskQueue: defaultTaskQueue,
      args: [requestFor(lab.layout.context, lab.catalogue.ciliumChart, waveSize)],
    });
    phases = new PhaseClock(() => handle.query(statusQuery), log);
    if (plan.killEverySeconds !== undefined) workers.killEvery(plan.killEverySeconds, log);
    const [report] = await Promise.all([handle.result() as Promise<MigrationReport>, actAsOperator(lab)]);
    const seconds = (Date.now() - begin) / 1_000;
    const phaseSeconds = phases.seconds();
    const requests = await workers.requests();
    workers.stop();
    const { figures, childIds } = await readHistories(client, workflowId, nodes);
    const { cpuSeconds, memoryMiB } = meter.stop();
    return {
      nodes,
      podsPerNode,
      waveSize,
      temporal: plan.postgresql ? 'PostgreSQL' : 'dev server',
      workers: plan.workers,
      killed: workers.killed,
      seconds: rounded(seconds),
      phaseSeconds,
      workerCpuSeconds: cpuSeconds,
      workerMemoryMiB: memoryMiB,
      requestsPerNode: rounded(requests / nodes),
      bystander: bystander.reset(),
      bystanderBefore: { p50Ms: before.p50Ms, p99Ms: before.p99Ms },
      ...figures,
      twice: childIds.length - new Set(childIds).size,
      lost: nodes - (nodeCounts(report).migrated ?? 0),
    };
  } finally {
    meter.stop();
    await bystander.stop();
    workers.stop();
    // A query after the end of its connection would end this program.
    await phases?.stop();
    await connection.close();
  }
}

/**
 * Starts the server as in docker-compose.yml.
 * @returns its address.
 */
async function startStack({ catalogue }: Lab, log: (line: string) => void, onEnd: OnEnd): Promise<string> {
  await buildMissing(catalogue.testArtefacts, log);
  const dir = await mkdtemp(path.join(tmpdir(), 'cni-bench-'));
  const stack = await ComposeStack.read(catalogue, dir);
  onEnd(async () => {
    await stack.stop();
    await rm(dir, { recursive: true, force: true });
  });
  await stack.start();
  return stack.address;
}

function requestFor(cluster: string, chart: string, waveSize: number): MigrationRequest {
  return {
    cluster,
    approval: 'none',
    cleanup: 'automatic',
    podCidr: targetPodCidr,
    chart,
    waves: { maxConcurrency: waveSize },
    // A simulator that reports success in any case tests no policies.
    policyMode: 'off',
    backup: 'a simulated cluster',
    values: { operator: { replicas: 1 }, envoy: { enabled: false }, hubble: { enabled: false } },
    ledger: { baselineSeconds: 10, afterSeconds: 10 },
  };
}

/** Records when a migration enters each of its phases. */
class PhaseClock {
  private readonly begins: [phase: string, ms: number][] = [];
  private readonly timer: NodeJS.Timeout;
  private lastLine = '';
  /** Queries run one after the other, so that none is pending after the stop. */
  private query: Promise<void> = Promise.resolve();

  constructor(status: () => Promise<MigrationStatus>, log: (line: string) => void) {
    this.timer = setInterval(() => {
      this.query = this.query.then(() => status().then((current) => this.note(current, log))).catch(() => undefined);
    }, 5_000);
  }

  private note(status: MigrationStatus, log: (line: string) => void): void {
    const { phase, waiting } = status;
    if (this.begins.at(-1)?.[0] !== phase) this.begins.push([phase, Date.now()]);
    const counts = Object.entries(nodeCounts(status))
      .map(([state, count]) => `${count} ${state}`)
      .join(', ');
    const text = `${phase}: ${counts} ${waiting === undefined ? '' : JSON.stringify(waiting)}`;
    if (text !== this.lastLine) log(text);
    this.lastLine = text;
  }

  /** Waits for the pending query. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.query;
  }

  /** Returns the seconds of each phase, of the last one until now. */
  seconds(): Record<string, number> {
    const ends = [...this.begins.slice(1).map(([, ms]) => ms), Date.now()];
    return Object.fromEntries(
      this.begins.map(([phase, ms], index) => [phase, Math.round(((ends[index] ?? ms) - ms) / 1_000)])
    );
  }
}

await bench();
