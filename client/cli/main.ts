import { writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { Command, CommanderError, Option } from 'commander';
import type { Client } from '@temporalio/client';
import { defaultTaskQueue, migrationWorkflowId } from '../../workflows/messages.ts';
import { ledgerMarkdown } from '../../model/markdown/ledger.ts';
import type { Messages } from '../../model/message-schemas.ts';
import { planMarkdown } from '../../model/markdown/plan.ts';
import { blockerText } from '../../model/status.ts';
import { connect } from '../connection.ts';
import type { TemporalOptions } from '../../temporal/connection-config.ts';
import { startFleet } from '../fleet.ts';
import { Migration } from '../migration.ts';
import { collectReport } from '../report/collect.ts';
import { htmlReport } from '../report/html.ts';
import { markdownReport } from '../report/markdown.ts';
import { completionScript, shells, type Shell } from './completion.ts';
import { exitCodes, describeError } from './exit-codes.ts';
import { parseFleetRequest, readClusterInput, readInput, type InputOptions } from './input.ts';
import { commandName, messages } from './messages.ts';
import { shellCommand } from '../../model/shell.ts';
import { TemporalCommand } from './temporal-command.ts';
import { policyText, preflightText, detectScreen, forTerminal, statusText, type Screen } from './text.ts';
import { answerCommands, follow } from './watch.ts';

/** Options that every command has. */
interface CommonOptions extends TemporalOptions, InputOptions {
  json: boolean;
  color: boolean;
  /** Workflow ID of the migration, when it differs from the default. */
  workflowId?: string;
  /** True to print only the Temporal CLI's command. */
  print: boolean;
  quiet: boolean;
}

interface StartOptions extends CommonOptions {
  taskQueue: string;
}

interface SenderOptions extends CommonOptions {
  by: string;
  reason?: string;
}

/** Context of a command. */
interface Context {
  cluster: string;
  options: CommonOptions;
  temporal: TemporalCommand;
  screen: Screen;
  /** Reads the input once. @throws CliError when it is not valid. */
  input: () => Promise<Record<string, unknown>>;
}

const print = (text: string): void => console.log(forTerminal(text));

const program = new Command('cni-migrate')
  .description(
    'Migrates Kubernetes clusters from Canal to Cilium. Every command prints the equivalent command of the Temporal CLI.'
  )
  .exitOverride()
  .configureHelp({ showGlobalOptions: true })
  .addHelpText(
    'after',
    `\nExit codes: ${Object.entries(exitCodes)
      .map(([name, code]) => `${code} ${name}`)
      .join(', ')}.`
  );

function command(name: string, description: string, parent: Command = program): Command {
  const subcommand = parent
    .command(name)
    .description(description)
    .argument('<cluster>', 'name of the cluster in the configuration of the worker');
  return withConnection(subcommand).option(
    '--workflow-id <id>',
    'workflow ID of the migration, if a schedule started it'
  );
}

const withConnection = (subcommand: Command): Command =>
  subcommand
    .option('--json', 'print JSON', false)
    .option('--no-color', 'print without colors; same as the variable NO_COLOR')
    .option('--print', 'only print the equivalent command of the Temporal CLI', false)
    .option('--quiet', 'do not print the equivalent command of the Temporal CLI', false)
    .option('--address <host:port>', 'address of Temporal')
    .option('--namespace <name>', 'namespace in Temporal')
    .option('--profile <name>', 'profile in the configuration file of Temporal');

const withTaskQueue = (subcommand: Command): Command =>
  subcommand.option('--task-queue <name>', 'task queue of the workers', defaultTaskQueue);

const withInput = (subcommand: Command): Command =>
  withTaskQueue(subcommand)
    .option('--input <text>', 'input in YAML or JSON, without the field "cluster"')
    .option('--input-file <file>', 'file with the input; - for standard input');

const withSender = (subcommand: Command): Command =>
  subcommand
    .option('--by <name>', 'your name, for the record', userInfo().username)
    .option('--reason <text>', 'reason, for the record');

/** Runs a command: connects, prints, and converts errors into messages and exit codes. */
function run<Options extends CommonOptions>(
  work: (client: Client, context: Context, options: Options) => Promise<void>,
  buildCommand: (context: Context, options: Options) => Promise<string[]> | string[],
  read = readClusterInput
): (cluster: string, options: Options) => Promise<void> {
  return async (cluster, options) => {
    let client: Client | undefined;
    try {
      const screen = detectScreen(process.stdout, !options.color, process.env);
      let pendingInput: Promise<Record<string, unknown>> | undefined;
      const input = (): Promise<Record<string, unknown>> => (pendingInput ??= read(cluster, options));
      const context: Context = { cluster, options, temporal: new TemporalCommand(options), screen, input };
      const line = shellCommand(await buildCommand(context, options));
      if (options.print) return print(line);
      if (!options.quiet) console.error(`# ${line}`);
      client = await connect(process.env, options);
      await work(client, context, options);
    } catch (error) {
      const { message, code } = describeError(error, cluster);
      console.error(forTerminal(message));
      process.exitCode = code;
    } finally {
      await client?.connection.close();
    }
  };
}

const printJson = (value: unknown): void => print(JSON.stringify(value ?? null, null, 2));

withInput(command('preflight', 'run only the checks, without any change')).action(
  run<StartOptions>(
    async (client, { cluster, screen, input }, { json: asJson, taskQueue, workflowId }) => {
      const report = await new Migration(client, cluster, workflowId).check(await input(), taskQueue);
      if (asJson) printJson(report);
      else print(preflightText(report.outcomes, screen));
      if (!report.mayStart) process.exitCode = exitCodes.refused;
    },
    async ({ cluster, temporal, input }, { taskQueue }) =>
      temporal.start('clusterPreflight', cluster, await input(), taskQueue)
  )
);

const policy = program.command('policy').description('network policies on Cilium');

withInput(command('report', 'compare the policy verdicts of both networks, without any change', policy)).action(
  run<StartOptions>(
    async (client, { cluster, input }, { json: asJson, taskQueue, workflowId }) => {
      const report = await new Migration(client, cluster, workflowId).policyReport(await input(), taskQueue);
      if (asJson) printJson(report);
      else print(policyText(report));
      if (!report.same) process.exitCode = exitCodes.refused;
    },
    async ({ cluster, temporal, input }, { taskQueue }) =>
      temporal.start('clusterPolicyReport', cluster, await input(), taskQueue)
  )
);

withInput(command('start', 'start a migration; a new run continues from the state of the cluster'))
  .option('--dry-run', 'go through all steps without any change', false)
  .action(
    run<StartOptions>(
      async (client, { cluster, input }, options) => {
        const migration = new Migration(client, cluster, options.workflowId);
        await migration.start(await input(), options.taskQueue);
        if (options.json) printJson({ workflowId: migration.workflowId });
        else print(`started as workflow ${migration.workflowId}`);
      },
      async ({ cluster, temporal, input }, { taskQueue }) =>
        temporal.start('clusterMigration', cluster, await input(), taskQueue)
    )
  );

withTaskQueue(withConnection(program.command('fleet').description('migrate many clusters').command('start')))
  .description('start the migration of a fleet')
  .argument('<file>', 'input in YAML or JSON; - for standard input')
  .action(
    run<StartOptions>(
      async (client, { input }, { json: asJson, taskQueue }) => {
        const workflowId = await startFleet(client, parseFleetRequest(await input()), taskQueue);
        if (asJson) printJson({ workflowId });
        else print(`started as workflow ${workflowId}`);
      },
      async ({ temporal, input }, { taskQueue }) => temporal.startFleet(parseFleetRequest(await input()), taskQueue),
      (inputFile) => readInput({ inputFile })
    )
  );

command('status', 'show the phase, the nodes, and the commands that end the current wait')
  .option('--watch', 'print changes until the migration ends', false)
  .action(
    run<CommonOptions & { watch: boolean }>(
      async (client, context, { watch, json: asJson }) => {
        const migration = new Migration(client, context.cluster, context.options.workflowId);
        if (watch) return follow(migration, print, asJson);
        if (asJson) return printJson(await migration.completeStatus());
        const status = await migration.status();
        print(statusText(status, context.screen, answerCommands(status, context.cluster)));
      },
      ({ cluster, temporal }) => temporal.query(cluster, 'status')
    )
  );

/** Adds a command that sends a query to the migration. */
function query<Answer>(
  name: string,
  description: string,
  runQuery: (migration: Migration) => Promise<Answer>,
  format: (answer: Answer) => string
): void {
  command(name, description).action(
    run<CommonOptions>(
      async (client, { cluster, options }) => {
        const answer = await runQuery(new Migration(client, cluster, options.workflowId));
        if (options.json) printJson(answer);
        else print(format(answer));
      },
      ({ cluster, temporal }) => temporal.query(cluster, name)
    )
  );
}

query(
  'plan',
  'show the plan: waves with reasons, evicted pods, created objects',
  (migration) => migration.plan(),
  (plan) => (plan === undefined ? 'the plan is not computed yet' : planMarkdown(plan))
);
query('ledger', 'show the measurements of all paths', (migration) => migration.ledger(), ledgerMarkdown);
query(
  'blockers',
  'show the pods that keep drains from finishing',
  (migration) => migration.blockers(),
  (blockers) => blockers.map((item) => `${item.node}: ${blockerText(item)}`).join('\n') || 'no blockers'
);

for (const { message, description, options: messageOptions } of messages) {
  const subcommand = withSender(command(commandName(message), description));
  for (const option of messageOptions) subcommand.addOption(option);
  const fields = messageOptions.map((option) => option.attributeName());
  const buildMessage = (options: SenderOptions): object => {
    const fieldValues = Object.entries(options).filter(([key, value]) => fields.includes(key) && value !== undefined);
    const { by, reason } = options;
    return { ...Object.fromEntries(fieldValues), by, ...(reason !== undefined && { reason }) };
  };
  subcommand.action(
    run<SenderOptions>(
      async (client, { cluster }, options) => {
        const body = buildMessage(options) as Messages[typeof message];
        const answer = await new Migration(client, cluster, options.workflowId).send(message, body);
        if (options.json) printJson({ answer });
        else print(answer);
      },
      ({ cluster, temporal }, options) => temporal.update(cluster, message, buildMessage(options))
    )
  );
}

command('report', 'write a report on the latest migration: decisions, timeline, nodes, measurements, checks')
  .addOption(new Option('--format <format>', 'format of the report').choices(['md', 'html', 'json']).default('md'))
  .option('--output <file>', 'file to write; standard output by default')
  .action(
    run<CommonOptions & { format: 'md' | 'html' | 'json'; output?: string }>(
      async (client, { cluster }, { format, output, json: asJson, workflowId }) => {
        const data = await collectReport(client, workflowId ?? migrationWorkflowId(cluster));
        const renderers = { md: markdownReport, html: htmlReport, json: (all: object) => JSON.stringify(all, null, 2) };
        const text = renderers[asJson ? 'json' : format](data);
        if (output === undefined) return print(text);
        await writeFile(output, text);
        print(`report written to ${output}`);
      },
      ({ cluster, temporal }) => temporal.result(cluster)
    )
  );

program
  .command('completion')
  .description('print a completion script for your shell')
  .addArgument(program.createArgument('<shell>', 'your shell').choices(shells))
  .action((shell: Shell) => {
    process.stdout.write(completionScript(program, shell));
  });

async function main(): Promise<void> {
  try {
    await program.parseAsync();
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Commander has printed the message already; a request for help is not an error.
    process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  }
}

await main();
