import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Client, Connection, WorkflowFailedError } from '@temporalio/client';
import { Command, InvalidArgumentError, Option } from 'commander';
import { Migration } from '../../client/migrations.ts';
import { defaultTaskQueue, migrationWorkflowId } from '../../workflows/messages.ts';
import type { MigrationStatus, NodeState } from '../../workflows/model/status.ts';
import { readLedger, totals } from '../app/ledger.ts';
import { labDown, labUp } from '../cluster/lab.ts';
import { startTemporal, startWorker, type TemporalServer } from '../cluster/temporal.ts';
import { labMigrationRequest } from '../migration-request.ts';
import { countPods, summary } from './summary.ts';

interface DemoOptions {
  nodes: number;
  approval: 'none' | 'every-node';
  keep: boolean;
}

const say = (line: string): void => console.log(line);

/** Makes a lab, migrates it before the reader's eyes, and says what it cost. */
async function demo({ nodes, approval, keep }: DemoOptions): Promise<void> {
  const name = `demo-${randomBytes(3).toString('hex')}`;
  cleanUpOnSignals(name);
  let succeeded = false;
  try {
    say(`A cluster of ${nodes} nodes with Canal is made on this machine, as lab ${name}:`);
    const lab = await labUp({ name, nodes, ephemeral: !keep, log: (line) => say(`  ${line}`) });
    const temporal = await startTemporal(lab);
    await startWorker(lab, temporal.address);
    say(`  Temporal and a worker run\n\nTemporal Web UI: ${temporal.webUi}\n`);

    const request = labMigrationRequest(lab, approval);
    const input = path.join(lab.layout.dir, 'migration.json');
    await writeFile(input, JSON.stringify(request, null, 2));
    const cluster = lab.layout.context;
    const command = ['workflow', 'start', '--type', 'clusterMigration', '--task-queue', defaultTaskQueue];
    command.push('--workflow-id', migrationWorkflowId(cluster), '--id-conflict-policy', 'Fail', '--input-file', input);
    say(`The migration is started with\n\n  ${shellCommand([...temporal.command, ...command])}\n`);
    const target = request.podCidr ?? '10.245.0.0/16';
    const before = await countPods(lab, target);
    const start = new Date();
    await temporal.cli(...command);

    const connection = await Connection.connect({ address: temporal.address });
    try {
      const migration = new Migration(new Client({ connection }), cluster);
      await follow(migration, temporal);
      const report = await migration.result();
      const after = await countPods(lab, target);
      say(summary(report, before, after, totals(await readLedger(lab, start))));
      succeeded = after.canal === 0 && report.phase === 'done';
    } catch (error) {
      if (!(error instanceof WorkflowFailedError)) throw error;
      say(`\nThe migration failed: ${error.cause?.message ?? error.message}`);
    } finally {
      await connection.close();
    }
    if (keep) {
      const lines = [
        `Everything is kept. Temporal Web UI: ${temporal.webUi}/namespaces/default/workflows`,
        `To use the cluster:  export KUBECONFIG=${lab.layout.kubeconfig}`,
        `To remove it all:    npm run lab -- down --name ${name}`,
      ];
      say(`\n${lines.join('\n')}`);
    }
  } finally {
    if (!keep) {
      say(`\nlab ${name} is removed`);
      await labDown(name);
    }
  }
  process.exitCode = succeeded ? 0 : 1;
}

/** Reports what changes until the migration ends; the outcome is the caller's to ask for. */
async function follow(migration: Migration, temporal: TemporalServer): Promise<void> {
  const begin = Date.now();
  const clock = (): string => {
    const seconds = Math.round((Date.now() - begin) / 1000);
    return `${String(Math.floor(seconds / 60)).padStart(3)}:${String(seconds % 60).padStart(2, '0')}`;
  };
  let ended = false;
  const end = migration.result().then(
    () => (ended = true),
    () => (ended = true)
  );
  let phase: string | undefined;
  const states = new Map<string, NodeState>();
  while (!ended) {
    // No answer while no worker runs; the next second may bring one.
    const status = await migration.status().catch((): MigrationStatus | undefined => undefined);
    if (status !== undefined && status.phase !== phase) {
      phase = status.phase;
      say(`${clock()}  ${phase}`);
    }
    for (const node of status?.nodes ?? []) {
      if (states.get(node.name) === node.state) continue;
      states.set(node.name, node.state);
      if (node.state === 'pending') continue;
      say(`${clock()}    ${node.name}: ${node.state}${node.seconds === undefined ? '' : ` in ${node.seconds} s`}`);
      if (node.state === 'awaiting-approval') say(`\n${approvalHelp(migration.cluster, node.name, temporal)}\n`);
    }
    await Promise.race([end, new Promise((resolve) => setTimeout(resolve, 1_000))]);
  }
}

function approvalHelp(cluster: string, node: string, temporal: TemporalServer): string {
  const input = JSON.stringify({ node, approver: process.env['USER'] ?? 'me' });
  const command = [
    'workflow',
    'signal',
    '--workflow-id',
    migrationWorkflowId(cluster),
    '--name',
    'approve',
    '--input',
    input,
  ];
  return `To let ${node} be migrated, in another terminal:\n\n  ${shellCommand([...temporal.command, ...command])}`;
}

function shellCommand(words: readonly string[]): string {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ');
}

/** Ctrl-C, at any moment, leaves nothing behind. */
function cleanUpOnSignals(name: string): void {
  let cleaning = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (cleaning) return;
      cleaning = true;
      say(`\n${signal}: lab ${name} is removed`);
      void labDown(name).finally(() => process.exit(130));
    });
  }
}

function nodeCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > 20) throw new InvalidArgumentError('1 to 20');
  return count;
}

new Command('demo')
  .description('Migrates a throwaway cluster on this machine from Canal to Cilium.')
  .option('--nodes <count>', 'nodes of the cluster', nodeCount, 3)
  .addOption(new Option('--approval <mode>', 'what waits for a human').choices(['none', 'every-node']).default('none'))
  .option('--keep', 'leave everything running at the end', false)
  .action((options: DemoOptions) => demo(options))
  .parseAsync()
  .catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
