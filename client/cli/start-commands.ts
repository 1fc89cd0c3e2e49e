import type { Client } from '@temporalio/client';
import type { Command } from 'commander';
import type { MigrationRequest } from '../../model/input.ts';
import { shellCommand } from '../../model/shell.ts';
import {
  fleetWorkflowId,
  migrationWorkflowId,
  policyReportWorkflowId,
  preflightWorkflowId,
} from '../../workflows/messages.ts';
import { runPolicyReport, runPreflight, startFleet, startMigration } from '../start.ts';
import { hasWorker } from '../workers.ts';
import { exitCodes } from './exit-codes.ts';
import { parseFleetRequest, readInput } from './input.ts';
import { addCommand, withConnection, withInput, withTaskQueue, type StartOptions } from './options.ts';
import { print, printJson, printStyled, run, targetWords, type ConnectedContext, type Context } from './run.ts';
import type { StartCommand } from './temporal-command.ts';
import { policyText, preflightText } from './text.ts';

/** Adds the commands that start workflows. */
export function addStartCommands(program: Command): void {
  addPreflight(program);
  const policy = program.command('policy').description('network policies on Cilium');
  addPolicyReport(policy);
  addStart(program);
}

function addPreflight(program: Command): void {
  withInput(addCommand(program, 'preflight', 'run only the checks, without any change')).action(
    run<StartOptions>({
      workflowId: preflightWorkflowId,
      equivalent: async (context) => context.temporal.start(await clusterStart('clusterPreflight', context)),
      work: async (context) => {
        const report = await runPreflight(context.client, await clusterRequest(context), startOptions(context));
        if (context.options.json) printJson(report);
        else printStyled(preflightText(report.outcomes, context.screen));
        if (!report.mayStart) process.exitCode = exitCodes.refused;
      },
      afterInterruption: ({ workflowId }) => `the checks may continue as workflow ${workflowId}, and change nothing`,
    })
  );
}

function addPolicyReport(policy: Command): void {
  const description = 'compare the policy verdicts of both networks, without any change';
  withInput(addCommand(policy, 'report', description)).action(
    run<StartOptions>({
      workflowId: policyReportWorkflowId,
      equivalent: async (context) => context.temporal.start(await clusterStart('clusterPolicyReport', context)),
      work: async (context) => {
        const report = await runPolicyReport(context.client, await clusterRequest(context), startOptions(context));
        if (context.options.json) printJson(report);
        else print(policyText(report));
        if (!report.same) process.exitCode = exitCodes.refused;
      },
      afterInterruption: ({ workflowId }) => `the comparison may continue as ${workflowId}, and changes nothing`,
    })
  );
}

function addStart(program: Command): void {
  withInput(addCommand(program, 'start', 'start a migration; a new run continues from the state of the cluster'))
    .option('--dry-run', 'go through all steps without any change', false)
    .action(
      run<StartOptions>({
        workflowId: migrationWorkflowId,
        equivalent: async (context) => context.temporal.start(await clusterStart('clusterMigration', context)),
        work: async (context) => {
          const { workflowId } = await startMigration(
            context.client,
            await clusterRequest(context),
            startOptions(context)
          );
          await reportStart(context, workflowId);
        },
        afterInterruption: mayHaveStarted,
      })
    );
}

/** Adds the command that starts a fleet. */
export function addFleetStart(fleet: Command): void {
  withTaskQueue(withConnection(fleet.command('start')))
    .description('start the migration of a fleet')
    .argument('<file>', 'input in YAML or JSON; - for standard input')
    .action(
      run<StartOptions>({
        workflowId: () => '',
        read: (inputFile) => readInput({ inputFile }),
        equivalent: async ({ temporal, input, options: { taskQueue } }) => {
          const request = parseFleetRequest(await input());
          const workflowId = fleetWorkflowId(request.fleet);
          return temporal.start({ type: 'fleetMigration', workflowId, taskQueue, input: request });
        },
        work: async (context) => {
          const request = parseFleetRequest(await context.input());
          const { taskQueue } = context.options;
          const { workflowId } = await startFleet(context.client, request, { taskQueue, timeoutMs: context.timeoutMs });
          await reportStart(context, workflowId);
        },
        afterInterruption: () => 'the fleet may have started; check with temporal workflow list',
      })
    );
}

/** Returns what may have happened when a start was interrupted. */
export function mayHaveStarted(context: Context<StartOptions>): string {
  const check = shellCommand(['cni-migrate', 'status', ...targetWords(context)]);
  return `${context.workflowId} may have started; check with: ${check}`;
}

/** Returns the equivalent start of a workflow for a cluster. */
export async function clusterStart(type: string, context: Context<StartOptions>): Promise<StartCommand> {
  const { name: cluster, workflowId, options, input } = context;
  return { type, workflowId, taskQueue: options.taskQueue, cluster, input: await input() };
}

/** Returns the validated input as a request. */
export async function clusterRequest({ name, input }: Context<StartOptions>): Promise<MigrationRequest> {
  return { ...(await input()), cluster: name };
}

/** Returns the options of the client library for a start. */
export function startOptions({ workflowId, options, timeoutMs }: ConnectedContext<StartOptions>) {
  return { workflowId, taskQueue: options.taskQueue, timeoutMs };
}

/** Prints the workflow ID of a started run, and whether a worker is missing. */
export async function reportStart(context: ConnectedContext<StartOptions>, workflowId: string): Promise<void> {
  if (context.options.json) printJson({ workflowId });
  else print(`started as workflow ${workflowId}`);
  await warnWithoutWorker(context.client, context.options.taskQueue, context.timeoutMs);
}

async function warnWithoutWorker(client: Client, taskQueue: string, timeoutMs: number): Promise<void> {
  // The start has succeeded; a missing answer to this question does not change that.
  if (await hasWorker(client, taskQueue, Date.now() + timeoutMs).catch(() => true)) return;
  console.error(`no worker polls the task queue "${taskQueue}" yet; the workflow waits until one does`);
}
