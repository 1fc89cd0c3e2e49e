import type { Client } from '@temporalio/client';
import { printableJson, withoutControls } from '../../model/printable.ts';
import { shellCommand } from '../../model/shell.ts';
import { TemporalUnreachable, type TemporalOptions } from '../../temporal/connection-config.ts';
import { connect } from '../connection.ts';
import { CliError, describeError, exitCodes } from './exit-codes.ts';
import { readClusterInput, type InputOptions } from './input.ts';
import { TemporalCommand } from './temporal-command.ts';
import { detectScreen, forTerminal, type Screen } from './text.ts';

/** Options that every command has. */
export interface CommonOptions extends TemporalOptions, InputOptions {
  json: boolean;
  color: boolean;
  /** Time limit in seconds. */
  timeout: number;
  /** Workflow ID, when it differs from the default. */
  workflowId?: string;
  /** True to print only the Temporal CLI's command. */
  print: boolean;
  quiet: boolean;
}

/** Context of a command. */
export interface Context<Options> {
  /** Name of the cluster or fleet. */
  name: string;
  workflowId: string;
  options: Options;
  temporal: TemporalCommand;
  screen: Screen;
  /** Reads the input once. @throws CliError when it is not valid. */
  input: () => Promise<Record<string, unknown>>;
}

/** A context with a connection. */
export interface ConnectedContext<Options> extends Context<Options> {
  client: Client;
  /** Time that is left for the first answer, in ms. */
  timeoutMs: number;
}

/** A command of this program. */
export interface CliCommand<Options> {
  /** Returns the default workflow ID. */
  workflowId: (name: string) => string;
  /** Returns the equivalent command of the Temporal CLI, as words. */
  equivalent: (context: Context<Options>) => Promise<string[]> | string[];
  work: (context: ConnectedContext<Options>) => Promise<void>;
  /** Returns what may still happen after an interruption. @default nothing */
  afterInterruption?: (context: Context<Options>) => string;
  /** Reads the input. @default readClusterInput */
  read?: (name: string, options: Options) => Promise<Record<string, unknown>>;
}

/**
 * Returns the words of a command that name the same migration or fleet again: its name, and the options that a user has
 * given to find it.
 */
export function targetWords({ name, options }: Context<CommonOptions>): string[] {
  const { workflowId, address, namespace, profile } = options;
  const given = { 'workflow-id': workflowId, address, namespace, profile };
  return [name, ...Object.entries(given).flatMap(([key, value]) => (value === undefined ? [] : [`--${key}`, value]))];
}

/** Time in ms after which the process ends although requests that nobody waits for are being repeated. */
const lingerMs = 100;

export const print = (text: string): void => console.log(withoutControls(text));

/** Prints a text that can have the styles of `text.ts`. */
export const printStyled = (text: string): void => console.log(forTerminal(text));

export const printJson = (value: unknown): void => console.log(printableJson(value, 2));

/** Returns the action of a command: connects, prints, and converts errors into messages and exit codes. */
export function run<Options extends CommonOptions>(
  command: CliCommand<Options>
): (name: string, options: Options) => Promise<void> {
  return async (name, options) => {
    const { read = readClusterInput } = command;
    const workflowId = options.workflowId ?? command.workflowId(name);
    let pendingInput: Promise<Record<string, unknown>> | undefined;
    const context: Context<Options> = {
      name,
      workflowId,
      options,
      temporal: new TemporalCommand(options),
      screen: detectScreen(process.stdout, !options.color, process.env),
      input: () => (pendingInput ??= read(name, options)),
    };
    try {
      const line = shellCommand(await command.equivalent(context));
      if (options.print) return print(line);
      exitOnInterruption(command, context);
      if (!options.quiet) console.error(withoutControls(`# ${line}`));
      await connectAndWork(command, context);
    } catch (error) {
      const { message, code } = describeError(error, { name, workflowId });
      console.error(withoutControls(message));
      process.exitCode = code;
      setTimeout(() => process.exit(), lingerMs).unref();
    }
  };
}

async function connectAndWork<Options extends CommonOptions>(
  command: CliCommand<Options>,
  context: Context<Options>
): Promise<void> {
  const limitMs = context.options.timeout * 1_000;
  const endMs = Date.now() + limitMs;
  const client = await connect(process.env, { ...context.options, timeoutMs: limitMs }).catch((error: unknown) => {
    if (error instanceof TemporalUnreachable) throw error;
    // All else is read from variables and files: the connection, and the encryption keys.
    throw new CliError('usage', error instanceof Error ? error.message : String(error));
  });
  try {
    // A connection that took nearly all of the time leaves some for the answer.
    await command.work({ ...context, client, timeoutMs: Math.max(endMs - Date.now(), limitMs / 2) });
  } finally {
    await client.connection.close();
  }
}

/** Ends the process at an interruption, with what may still happen. */
function exitOnInterruption<Options>(command: CliCommand<Options>, context: Context<Options>): void {
  process.once('SIGINT', () => {
    const consequence = command.afterInterruption?.(context);
    console.error(withoutControls(consequence === undefined ? 'interrupted' : `interrupted: ${consequence}`));
    process.exit(exitCodes.interrupted);
  });
}
