import { parseArgs } from 'node:util';
import { Client, Connection } from '@temporalio/client';
import { labUp, type Lab } from '../../../lab/cluster/lab.ts';
import { startTemporal, startWorker } from '../../../lab/cluster/temporal.ts';
import { labMigrationRequest } from '../../../lab/migration-request.ts';
import { Migration } from '../../../client/migration.ts';
import { defaultTaskQueue, migrationWorkflowId } from '../../../workflows/messages.ts';
import type { MigrationRequest } from '../../../model/input.ts';
import { reportRegressions } from '../regressions.ts';
import { readResult, rounded, writeResult } from '../results.ts';
import { withLab } from '../with-lab.ts';
import { migrateByHand } from './hand-procedure.ts';
import { compileSeconds } from './compilations.ts';
import { Observer, type UserImpact } from './observer.ts';
import { ProcessorWatch } from './processor-use.ts';
import { fullLoadUpTo, peerName, peerRatios, type MigrationResult, type Pair, type PeerResult } from './result.ts';

/**
 * Compares the whole migration of a lab by this service, with every check enabled, with the procedure by hand:
 * alternating, each time on a fresh lab of the same kind.
 */
async function bench(): Promise<void> {
  const { values } = parseArgs({
    options: {
      nodes: { type: 'string', default: '3' },
      waves: { type: 'string', default: '1' },
      pairs: { type: 'string', default: '3' },
      /** Run only this service, to see where its time is spent. */
      only: { type: 'boolean', default: false },
    },
  });
  const [nodes, waveSize, count] = [Number(values.nodes), Number(values.waves), Number(values.pairs)];
  const name = peerName(nodes, waveSize);
  const before = await readResult<PeerResult>(name);
  const pairs: Pair[] = [];
  for (let pair = 0; pair < count; pair++) {
    // The order alternates, so that an advantage of the second run of a pair benefits both equally.
    const byHandFirst = pair % 2 === 0;
    const first = byHandFirst && !values.only ? await onLab(nodes, byHand) : undefined;
    const service = await onLab(nodes, (lab) => byService(lab, waveSize));
    if (values.only) continue;
    pairs.push({ byHand: first ?? (await onLab(nodes, byHand)), service });
    await writeResult(name, { nodes, waveSize, pairs } satisfies PeerResult);
  }
  if (pairs.length > 0) reportRegressions(before && peerRatios(before.pairs), peerRatios(pairs));
}

async function onLab(nodes: number, migrate: (lab: Lab) => Promise<MigrationResult>): Promise<MigrationResult> {
  return withLab(async (name) => {
    const lab = await labUp({ name, nodes, ephemeral: true });
    if (nodes > fullLoadUpTo) await reduceLoad(lab);
    const migrated = await migrate(lab);
    console.error(JSON.stringify(migrated));
    return migrated;
  });
}

/**
 * Reduces the application's requests, two a second to each target from each node: the machine that carries all nodes
 * must not be busy with them.
 */
async function reduceLoad(lab: Lab): Promise<void> {
  await lab.kubectl('-n', 'shop', 'set', 'env', 'daemonset/client', 'INTERVAL_MS=1500');
  await lab.kubectl('-n', 'shop', 'rollout', 'status', 'daemonset/client', '--timeout=300s');
}

async function byHand(lab: Lab): Promise<MigrationResult> {
  const [steps, impact] = await observeWork(lab, () => migrateByHand(lab));
  const durations = steps.map(({ step, endMs }, index) => {
    const seconds = rounded((endMs - (steps[index - 1]?.endMs ?? 0)) / 1_000);
    return [step, seconds] as const;
  });
  const isNode = ([step]: readonly [string, number]): boolean => lab.layout.nodeNames.includes(step);
  return {
    seconds: rounded((steps.at(-1)?.endMs ?? 0) / 1_000),
    phases: Object.fromEntries(durations.filter((step) => !isNode(step))),
    nodes: Object.fromEntries(durations.filter(isNode)),
    ...impact,
  };
}

/** Runs work on a lab, and returns what users of its application saw, and what the machine was busy with. */
async function observeWork<T>(
  lab: Lab,
  work: () => Promise<T>
): Promise<[done: T, seen: UserImpact & Pick<MigrationResult, 'processors' | 'compileSeconds'>]> {
  const observer = new Observer(lab);
  const watch = new ProcessorWatch();
  await observer.start();
  await watch.start();
  const done = await work();
  const processors = await watch.stop();
  const impact = await observer.stop();
  return [done, { ...impact, processors, compileSeconds: await compileSeconds(lab) }];
}

async function byService(lab: Lab, waveSize: number): Promise<MigrationResult> {
  const temporal = await startTemporal(lab);
  await startWorker(lab, temporal.address);
  const request: MigrationRequest = labMigrationRequest(lab, 'none', {
    waves: { maxConcurrency: waveSize },
    // Nobody is there to resume a migration that pauses.
    onFailure: 'stop',
    // So many agents that start at once use the whole machine for half a minute, including the API server's share.
    ...(lab.layout.nodeNames.length > fullLoadUpTo && { gates: { toleranceMs: 120_000 } }),
  });
  const cluster = lab.layout.context;
  const connection = await Connection.connect({ address: temporal.address });
  const client = new Client({ connection });
  try {
    const [report, impact] = await observeWork(lab, async () => {
      await client.workflow.start('clusterMigration', {
        taskQueue: defaultTaskQueue,
        workflowId: migrationWorkflowId(cluster),
        args: [request],
      });
      return new Migration(client, cluster).result();
    });
    const ids = report.nodes.map(({ name }) => name);
    const activities = await activitySeconds(client, migrationWorkflowId(cluster), ids);
    return {
      seconds: rounded(report.timeline.reduce((sum, { seconds = 0 }) => sum + seconds, 0)),
      phases: Object.fromEntries(
        report.timeline.flatMap(({ phase, seconds }) => (seconds ? [[phase, rounded(seconds)]] : []))
      ),
      nodes: Object.fromEntries(report.nodes.map(({ name, seconds = 0 }) => [name, seconds])),
      activities,
      ...impact,
    };
  } finally {
    await connection.close();
  }
}

/** Returns where the time is spent: the activities of the cluster's and the nodes' workflows, by type. */
async function activitySeconds(
  client: Client,
  workflowId: string,
  nodes: readonly string[]
): Promise<NonNullable<MigrationResult['activities']>> {
  const sums: NonNullable<MigrationResult['activities']> = {};
  const secondsOf = (time: { seconds?: unknown; nanos?: number | null } | null | undefined): number =>
    Number(time?.seconds ?? 0) + (time?.nanos ?? 0) / 1e9;
  for (const id of [workflowId, ...nodes.map((node) => `${workflowId}/node/${node}`)]) {
    const { events } = await client.workflow.getHandle(id).fetchHistory();
    const scheduledActivities = new Map<string, { type: string; at: number }>();
    for (const event of events ?? []) {
      const { activityTaskScheduledEventAttributes: scheduled, activityTaskCompletedEventAttributes: completed } =
        event;
      const at = secondsOf(event.eventTime);
      if (scheduled) scheduledActivities.set(String(event.eventId), { type: scheduled.activityType?.name ?? '', at });
      const activity = completed && scheduledActivities.get(String(completed.scheduledEventId));
      if (!activity) continue;
      const sum = (sums[activity.type] ??= { count: 0, seconds: 0 });
      sum.count++;
      sum.seconds = rounded(sum.seconds + at - activity.at);
    }
  }
  return sums;
}

await bench();
