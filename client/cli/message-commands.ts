import { WorkflowNotFoundError } from '@temporalio/client';
import type { Command } from 'commander';
import type { FleetMessageName } from '../../model/fleet-messages.ts';
import type { MessageName, Messages } from '../../model/message-schemas.ts';
import { shellCommand } from '../../model/shell.ts';
import { fleetWorkflowId, migrationWorkflowId } from '../../workflows/messages.ts';
import type { FleetMessages } from '../../workflows/operator-messages.ts';
import { NoWorkerError } from '../errors.ts';
import { Fleet } from '../fleet.ts';
import { Migration } from '../migration.ts';
import { startRollback } from '../start.ts';
import { approveCommand, withClusterOptions, type ApproveOptions } from './approve-command.ts';
import { CliError } from './exit-codes.ts';
import { readClusterInput } from './input.ts';
import { commandName, fleetMessages, messages, type MessageCommand } from './messages.ts';
import { addCommand, withConnection, withInput, withSender, type SenderOptions, type StartOptions } from './options.ts';
import { print, printJson, run, targetWords, type CommonOptions, type ConnectedContext, type Context } from './run.ts';
import { clusterStart, reportStart, startOptions } from './start-commands.ts';
import { fleetText } from './text.ts';

/** Adds a command for each message to a migration. */
export function addMessageCommands(program: Command): void {
  for (const command of messages) {
    const subcommand = withSender(addCommand(program, commandName(command.message), command.description));
    for (const option of command.options) subcommand.addOption(option);
    if (command.message === 'rollback') addRollbackAction(subcommand, command);
    else if (command.message === 'approve') addApproveAction(subcommand, command);
    else subcommand.action(run(messageCommand(command)));
  }
}

/** Adds the commands about a fleet that has started. */
export function addFleetCommands(fleet: Command): void {
  const addFleetCommand = (name: string, description: string): Command =>
    withConnection(fleet.command(name))
      .description(description)
      .argument('<fleet>', 'name of the fleet')
      .option('--workflow-id <id>', 'workflow ID, when it differs from the default');
  addFleetCommand('status', 'show the clusters of a fleet, and what it waits for').action(
    run<CommonOptions>({
      workflowId: fleetWorkflowId,
      equivalent: ({ temporal, workflowId }) => temporal.query(workflowId, 'status'),
      work: async ({ client, name, workflowId, timeoutMs, options }) => {
        const fleet = new Fleet(client, name, { workflowId, timeoutMs });
        const status = await fleet.status();
        if (options.json) printJson(status);
        else print(fleetText(status, await fleet.ending()));
      },
    })
  );
  for (const command of fleetMessages) {
    const subcommand = withSender(addFleetCommand(commandName(command.message), command.description));
    for (const option of command.options) subcommand.addOption(option);
    subcommand.action(run(fleetMessageCommand(command)));
  }
}

function messageCommand<Options extends SenderOptions>(command: MessageCommand<MessageName>) {
  return {
    workflowId: migrationWorkflowId,
    equivalent: ({ workflowId, temporal, options }: Context<Options>) =>
      temporal.update(workflowId, command.message, buildMessage(command, options)),
    work: async ({ client, name, workflowId, timeoutMs, options }) => {
      const migration = new Migration(client, name, { workflowId, timeoutMs });
      const message = await namePlan(migration, buildMessage(command, options));
      const named = 'plan' in message && typeof message.plan === 'string' ? { plan: message.plan } : {};
      // Before the answer, so that it is also visible after an interruption.
      if (named.plan !== undefined && !options.json) print(`plan ${named.plan}`);
      printAnswer(await migration.send(command.message, message), options, named);
    },
    afterInterruption: (context: Context<Options>) => mayApply('status', context),
  } satisfies Parameters<typeof run<Options>>[0];
}

function fleetMessageCommand(command: MessageCommand<FleetMessageName>) {
  return {
    workflowId: fleetWorkflowId,
    equivalent: ({ workflowId, temporal, options }) =>
      temporal.update(workflowId, command.message, buildMessage(command, options)),
    work: async ({ client, name, workflowId, timeoutMs, options }) => {
      const message = buildMessage(command, options) as FleetMessages[FleetMessageName];
      printAnswer(await new Fleet(client, name, { workflowId, timeoutMs }).send(command.message, message), options);
    },
    afterInterruption: (context) => mayApply('fleet status', context),
  } satisfies Parameters<typeof run<SenderOptions>>[0];
}

/** Adds the action of `approve`, which also creates the approval in the cluster where that is needed. */
function addApproveAction(subcommand: Command, command: MessageCommand<MessageName>): void {
  const action = approveCommand(messageCommand<ApproveOptions>(command), (options) => buildMessage(command, options));
  withClusterOptions(subcommand).action(run(action));
}

interface RollbackOptions extends SenderOptions, StartOptions {
  start: boolean;
  all?: boolean;
  node?: string;
  outsideWindows?: boolean;
}

/** Adds the action of `rollback`, which can also start a run whose first message is the rollback. */
function addRollbackAction(subcommand: Command, command: MessageCommand<MessageName>): void {
  const message = messageCommand<RollbackOptions>(command);
  withInput(subcommand)
    .option('--start', 'start a run whose first message is the rollback of all nodes; needs no worker', false)
    .action(
      run<RollbackOptions>({
        ...message,
        read: readRollbackInput,
        equivalent: async (context) => {
          // Validates the options, and the input of a start.
          await context.input();
          if (!context.options.start) return message.equivalent(context);
          const start = await clusterStart('clusterMigration', context);
          return context.temporal.signalWithStart(start, 'rollback', buildMessage(command, context.options));
        },
        work: async (context) => {
          if (!context.options.start) return message.work(context);
          const isOpen = await hasOpenRun(context);
          // An open run answers, as it may refuse the message; without a worker, it keeps the message.
          if (isOpen && (await answered(() => message.work(context)))) return;
          const { by, reason, outsideWindows } = context.options;
          const details = { by, ...(reason !== undefined && { reason }), ...(outsideWindows && { outsideWindows }) };
          const request = { ...(await context.input()), cluster: context.name };
          const { workflowId } = await startRollback(context.client, request, details, startOptions(context));
          if (!isOpen) return reportStart(context, workflowId);
          const consequence = 'a worker will apply or refuse it, and the run keeps its own input';
          printAnswer(`sent to the open run ${workflowId}: ${consequence}`, context.options);
        },
      })
    );
}

async function hasOpenRun({ client, name, workflowId, timeoutMs }: ConnectedContext<CommonOptions>): Promise<boolean> {
  try {
    return (await new Migration(client, name, { workflowId, timeoutMs }).ending()) === undefined;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}

/** Returns false when no worker could answer, so that nothing was sent. */
async function answered(send: () => Promise<void>): Promise<boolean> {
  try {
    await send();
    return true;
  } catch (error) {
    if (error instanceof NoWorkerError) return false;
    throw error;
  }
}

async function readRollbackInput(cluster: string, options: RollbackOptions): Promise<Record<string, unknown>> {
  const hasInput = options.input !== undefined || options.inputFile !== undefined;
  if (options.start && (options.all !== true || options.node !== undefined)) {
    throw new CliError('usage', '--start rolls back all nodes: use it with --all, without --node');
  }
  if (!options.start && hasInput) throw new CliError('usage', 'an input is only for a start: use it with --start');
  return options.start ? readClusterInput(cluster, options) : {};
}

/** Names the pending plan by its digest, so that an approval of it is about no other plan. */
async function namePlan(migration: Migration, message: Messages[MessageName]): Promise<Messages[MessageName]> {
  if (!('plan' in message) || message.plan !== true) return message;
  const status = await migration.status().catch(async (error: unknown) => {
    // Nothing may be left that answers for a run that has ended. The message is then refused with that reason.
    if ((await migration.ending()) === undefined) throw error;
  });
  // A plan of an earlier build has no digest.
  return status?.planDigest === undefined ? message : { ...message, plan: status.planDigest };
}

/**
 * Returns the message that the options of a command describe.
 * @throws CliError for a command that needs exactly one of its options.
 */
function buildMessage({ options: fields, needsOne }: MessageCommand<string>, options: SenderOptions): object {
  const names = fields.map((field) => field.attributeName());
  const values = Object.entries(options).filter(([key, value]) => names.includes(key) && value !== undefined);
  if (needsOne === true && values.length !== 1)
    throw new CliError('usage', `give exactly one of ${fields.map(({ long }) => long ?? '').join(', ')}`);
  const { by, reason } = options;
  // The plan has two options for one field. Two values for it are two subjects.
  const entries = values.map(([key, value]) => [key === 'planDigest' ? 'plan' : key, value] as const);
  if (new Set(entries.map(([key]) => key)).size < entries.length)
    throw new CliError('usage', 'give either --plan or --plan-digest');
  return { ...Object.fromEntries(entries), by, ...(reason !== undefined && { reason }) };
}

/** @param more fields of the JSON output. */
function printAnswer(answer: string, { json }: CommonOptions, more: object = {}): void {
  if (json) printJson({ answer, ...more });
  else print(answer);
}

function mayApply(command: 'status' | 'fleet status', context: Context<CommonOptions>): string {
  const check = shellCommand(['cni-migrate', ...command.split(' '), ...targetWords(context)]);
  return `the server may have the message, and a worker may still apply it; check with: ${check}`;
}
