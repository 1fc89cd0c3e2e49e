import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { WorkflowFailedError } from '@temporalio/client';
import { Command, InvalidArgumentError, Option } from 'commander';
import { shellCommand } from '../../model/shell.ts';
import { watchStatus } from '../../client/cli/watch.ts';
import { connect } from '../../client/connection.ts';
import { Migration } from '../../client/migration.ts';
import { defaultTaskQueue, migrationWorkflowId } from '../../workflows/messages.ts';
import type { Answer } from '../../model/decision.ts';
import { readLedger, totals } from '../app/ledger.ts';
import { clock } from '../elapsed.ts';
import { keepLab, labDown, labUp, type Lab } from '../cluster/lab.ts';
import { startTemporal, startWorker, type TemporalServer } from '../cluster/temporal.ts';
import { labMigrationRequest, targetPodCidr } from '../migration-request.ts';
import { interrupt, interruptionSignal } from '../process.ts';
import { countPods, summary } from './summary.ts';

interface DemoOptions {
  nodes: number;
  approval: (typeof approvalModes)[number];
  keep: boolean;
}

const approvalModes = ['none', 'canary-only', 'every-wave', 'every-node'] as const;

const print = (line: string): void => console.log(line);

/** Creates a lab, migrates it with progress output, and prints what the migration cost. */
async function demo(options: DemoOptions): Promise<void> {
  const name = `demo-${randomBytes(3).toString('hex')}`;
  const interrupted = interruptionSignal();
  interruptOnSignals();
  let succeeded = false;
  try {
    succeeded = await migrateLab(name, options, interrupted);
  } catch (error) {
    if (!interrupted.aborted) throw error;
  } finally {
    // Ctrl-C removes the lab even with --keep.
    if (!options.keep || interrupted.aborted) {
      print(`\nRemoving lab ${name}`);
      await labDown(name);
    }
  }
  process.exitCode = interrupted.aborted ? 130 : succeeded ? 0 : 1;
}

/**
 * Migrates the lab.
 * @returns true when every pod ends on Cilium.
 */
async function migrateLab(name: string, options: DemoOptions, interrupted: AbortSignal): Promise<boolean> {
  const { nodes, approval, keep } = options;
  print(`Creating a cluster of ${nodes} nodes with Canal on this machine, as lab ${name}:`);
  const lab = await labUp({ name, nodes, ephemeral: true, log: (line) => print(`  ${line}`) });
  const temporal = await startTemporal(lab);
  await startWorker(lab, temporal.address);
  print(`  Temporal and a worker are running\n\nTemporal Web UI: ${temporal.webUi}\n`);

  const request = labMigrationRequest(lab, approval);
  const input = path.join(lab.layout.dir, 'migration.json');
  await writeFile(input, JSON.stringify(request, null, 2));
  const cluster = lab.layout.context;
  const command = ['workflow', 'start', '--type', 'clusterMigration', '--task-queue', defaultTaskQueue];
  command.push('--workflow-id', migrationWorkflowId(cluster), '--id-conflict-policy', 'Fail', '--input-file', input);
  print(`Starting the migration with\n\n  ${shellCommand([...temporal.command, ...command])}\n`);
  const before = await countPods(lab, targetPodCidr);
  const start = new Date();
  await temporal.cli(...command);

  const client = await connect({}, { address: temporal.address });
  const migration = new Migration(client, cluster);
  const result = client.withAbortSignal(interrupted, () => migration.result());
  try {
    await printProgress(migration, result, temporal, interrupted);
    const report = await result;
    const after = await countPods(lab, targetPodCidr);
    print(summary(report, before, after, totals(await readLedger(lab, start))));
    return after.canal === 0 && report.phase === 'done';
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    print(`\nThe migration failed: ${error.cause?.message ?? error.message}`);
    return false;
  } finally {
    // A pending call fails when its connection is closed.
    await result.catch(() => undefined);
    await client.connection.close();
    if (keep && !interrupted.aborted) {
      await keepLab(lab);
      printUsage(lab, temporal);
    }
  }
}

function printUsage({ layout }: Lab, temporal: TemporalServer): void {
  const lines = [
    `The lab is kept. Temporal Web UI: ${temporal.webUi}/namespaces/default/workflows`,
    `To use the cluster:  export KUBECONFIG=${layout.kubeconfig}`,
    `To remove the lab:   npm run lab -- down --name ${layout.record.name}`,
  ];
  print(`\n${lines.join('\n')}`);
}

/**
 * Prints changes until the migration ends.
 * @throws Error when interrupted.
 */
async function printProgress(
  migration: Migration,
  result: Promise<unknown>,
  temporal: TemporalServer,
  interrupted: AbortSignal
): Promise<void> {
  const startMs = Date.now();
  await watchStatus(
    migration,
    result,
    ({ lines, answers }) => {
      for (const line of lines) print(`${clock(startMs)}  ${line}`);
      for (const answer of answers) print(`\n${answerHelp(migration.cluster, answer, temporal)}\n`);
    },
    interrupted
  );
}

function answerHelp(cluster: string, { does, message, input }: Answer, temporal: TemporalServer): string {
  const inputJson = JSON.stringify({ ...input, by: process.env['USER'] ?? 'me' });
  const command = ['workflow', 'update', 'execute', '--workflow-id', migrationWorkflowId(cluster), '--name', message];
  return `To ${does}, in another terminal:\n\n  ${shellCommand([...temporal.command, ...command, '--input', inputJson])}`;
}

/** Ends the running work at Ctrl-C; the cleanup that follows removes the lab. */
function interruptOnSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    // Only once: a second request during the removal of the lab has to wait, because nothing else would remove the
    // rest.
    let interruptRequested = false;
    process.on(signal, () => {
      if (!interruptRequested) interrupt();
      interruptRequested = true;
    });
  }
}

function parseNodeCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > 20) throw new InvalidArgumentError('1 to 20');
  return count;
}

new Command('demo')
  .description('Migrates a throwaway cluster on this machine from Canal to Cilium.')
  .option('--nodes <count>', 'number of nodes of the cluster', parseNodeCount, 3)
  .addOption(new Option('--approval <mode>', 'which steps wait for an approval').choices(approvalModes).default('none'))
  .option('--keep', 'keep the lab running at the end', false)
  .action((options: DemoOptions) => demo(options))
  .parseAsync()
  .catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
