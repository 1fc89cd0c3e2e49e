import { userInfo } from 'node:os';
import { InvalidArgumentError, type Command } from 'commander';
import { defaultTaskQueue } from '../../workflows/messages.ts';
import type { CommonOptions } from './run.ts';

/** Options of a command that starts a workflow. */
export interface StartOptions extends CommonOptions {
  taskQueue: string;
}

/** Options of a command that sends a message. */
export interface SenderOptions extends CommonOptions {
  by: string;
  reason?: string;
}

/** Default time limit, in seconds. */
const defaultTimeoutSeconds = 5;

/** Adds a command about a cluster. */
export function addCommand(parent: Command, name: string, description: string): Command {
  const subcommand = parent
    .command(name)
    .description(description)
    .argument('<cluster>', 'name of the cluster in the configuration of the worker');
  return withConnection(subcommand).option('--workflow-id <id>', 'workflow ID, when it differs from the default');
}

/** Adds the options of every command that connects to Temporal. */
export function withConnection(command: Command): Command {
  return command
    .option('--json', 'print JSON', false)
    .option('--no-color', 'print without colors; same as the variable NO_COLOR')
    .option('--print', 'only print the equivalent command of the Temporal CLI', false)
    .option('--quiet', 'do not print the equivalent command of the Temporal CLI', false)
    .option('--timeout <seconds>', 'time limit for an answer', parseSeconds, defaultTimeoutSeconds)
    .option('--address <host:port>', 'address of Temporal')
    .option('--namespace <name>', 'namespace in Temporal')
    .option('--profile <name>', 'profile in the configuration file of Temporal');
}

/** Adds the option for the task queue. */
export function withTaskQueue(command: Command): Command {
  return command.option('--task-queue <name>', 'task queue of the workers', defaultTaskQueue);
}

/** Adds the options for an input. */
export function withInput(command: Command): Command {
  return withTaskQueue(command)
    .option('--input <text>', 'input in YAML or JSON, without the field "cluster"')
    .option('--input-file <file>', 'file with the input; - for standard input');
}

/** Adds the options that every message has. */
export function withSender(command: Command): Command {
  return command
    .option('--by <name>', 'your name, for the record', userInfo().username)
    .option('--reason <text>', 'reason, for the record');
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || seconds < 0.1 || seconds > 3_600) {
    throw new InvalidArgumentError('must be a number of seconds from 0.1 to 3600');
  }
  return seconds;
}
