import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import { Client, Connection } from '@temporalio/client';
import { labDown, labUp, type Lab } from '../../lab/cluster/lab.ts';
import { startTemporal, startWorker } from '../../lab/cluster/temporal.ts';
import { labMigrationRequest } from '../../lab/migration-request.ts';
import { Migration } from '../../client/migrations.ts';
import { defaultTaskQueue, migrationWorkflowId } from '../../workflows/messages.ts';
import type { MigrationRequest } from '../../workflows/model/input.ts';
import { rounded, writeResult } from '../results.ts';
import { migrateByHand } from './hand-procedure.ts';
import { Observer, type Seen } from './observer.ts';

/** One whole migration. */
export interface Migrated extends Seen {
  seconds: number;
  /** Seconds of each phase, or step of the procedure by hand. */
  phases: Record<string, number>;
  /** Seconds of each node. */
  nodes: Record<string, number>;
}

/** One pair: both on a lab of their own, one after the other, on the same machine. */
export interface Pair {
  byHand: Migrated;
  service: Migrated;
}

/** What `bench/results/peer-*.json` holds. */
export interface PeerResult {
  /** Nodes of each lab, and of a wave of the service's. */
  nodes: number;
  waveSize: number;
  pairs: Pair[];
}

/**
 * The whole migration of a lab by this service, every check of it on, beside the procedure by hand: alternating, each time
 * on a fresh lab of the same kind.
 */
async function bench(): Promise<void> {
  const { values } = parseArgs({
    options: {
      nodes: { type: 'string', default: '3' },
      waves: { type: 'string', default: '1' },
      pairs: { type: 'string', default: '3' },
      /** Only this service: to look where its time goes. */
      only: { type: 'boolean', default: false },
    },
  });
  const [nodes, waveSize, count] = [Number(values.nodes), Number(values.waves), Number(values.pairs)];
  const pairs: Pair[] = [];
  for (let pair = 0; pair < count; pair++) {
    // Whatever the second of a pair gains from the first is given to each in turn.
    const byHandFirst = pair % 2 === 0;
    const before = byHandFirst && !values.only ? await onLab(nodes, byHand) : undefined;
    const service = await onLab(nodes, (lab) => byService(lab, waveSize));
    if (values.only) continue;
    pairs.push({ byHand: before ?? (await onLab(nodes, byHand)), service });
    await writeResult(`peer-${nodes}-nodes-waves-of-${waveSize}`, { nodes, waveSize, pairs } satisfies PeerResult);
  }
}

async function onLab(nodes: number, migrate: (lab: Lab) => Promise<Migrated>): Promise<Migrated> {
  const name = `bench-${randomBytes(3).toString('hex')}`;
  try {
    const migrated = await migrate(await labUp({ name, nodes, ephemeral: true }));
    console.error(JSON.stringify(migrated));
    return migrated;
  } finally {
    await labDown(name);
  }
}

async function byHand(lab: Lab): Promise<Migrated> {
  const observer = new Observer(lab);
  await observer.start();
  const laps = await migrateByHand(lab);
  const steps = laps.map(({ step, endMs }, index) => {
    const seconds = rounded((endMs - (laps[index - 1]?.endMs ?? 0)) / 1_000);
    return [step, seconds] as const;
  });
  const isNode = ([step]: readonly [string, number]): boolean => lab.layout.nodeNames.includes(step);
  return {
    seconds: rounded((laps.at(-1)?.endMs ?? 0) / 1_000),
    phases: Object.fromEntries(steps.filter((step) => !isNode(step))),
    nodes: Object.fromEntries(steps.filter(isNode)),
    ...(await observer.stop()),
  };
}

async function byService(lab: Lab, waveSize: number): Promise<Migrated> {
  const temporal = await startTemporal(lab);
  await startWorker(lab, temporal.address);
  const request: MigrationRequest = labMigrationRequest(lab, 'none', { waves: { size: waveSize } });
  const cluster = lab.layout.context;
  const connection = await Connection.connect({ address: temporal.address });
  const client = new Client({ connection });
  try {
    const observer = new Observer(lab);
    await observer.start();
    await client.workflow.start('clusterMigration', {
      taskQueue: defaultTaskQueue,
      workflowId: migrationWorkflowId(cluster),
      args: [request],
    });
    const report = await new Migration(client, cluster).result();
    const seen = await observer.stop();
    console.error(
      await activitySeconds(
        client,
        migrationWorkflowId(cluster),
        report.nodes.map(({ name }) => name)
      )
    );
    return {
      seconds: rounded(report.timeline.reduce((sum, { seconds = 0 }) => sum + seconds, 0)),
      phases: Object.fromEntries(
        report.timeline.flatMap(({ phase, seconds }) => (seconds ? [[phase, rounded(seconds)]] : []))
      ),
      nodes: Object.fromEntries(report.nodes.map(({ name, seconds = 0 }) => [name, seconds])),
      ...seen,
    };
  } finally {
    await connection.close();
  }
}

/** Where the time goes: each activity of the cluster's and the nodes' workflows, with its seconds, in order. */
async function activitySeconds(client: Client, workflowId: string, nodes: readonly string[]): Promise<string> {
  const lines: string[] = [];
  for (const id of [workflowId, ...nodes.map((node) => `${workflowId}/node/${node}`)]) {
    const { events } = await client.workflow.getHandle(id).fetchHistory();
    const times = (time: { seconds?: unknown; nanos?: number | null } | null | undefined): number =>
      Number(time?.seconds ?? 0) + (time?.nanos ?? 0) / 1e9;
    const begun = new Map<string, { type: string; at: number }>();
    for (const event of events ?? []) {
      const { activityTaskScheduledEventAttributes: scheduled, activityTaskCompletedEventAttributes: completed } =
        event;
      if (scheduled)
        begun.set(String(event.eventId), { type: scheduled.activityType?.name ?? '', at: times(event.eventTime) });
      const began = completed && begun.get(String(completed.scheduledEventId));
      if (began) lines.push(`${id}  ${began.type}  ${(times(event.eventTime) - began.at).toFixed(1)}`);
    }
  }
  return lines.join('\n');
}

await bench();
