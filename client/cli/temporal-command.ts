import type { TemporalOptions } from '../../temporal/connection-config.ts';
import { searchAttributes } from '../../workflows/search-attributes.ts';

/** A workflow that a command starts. */
export interface StartCommand {
  type: string;
  workflowId: string;
  taskQueue: string;
  input: object;
  /** Cluster, for the search attribute; undefined for a fleet. */
  cluster?: string;
}

/** Command lines of the Temporal CLI that are equivalent to this program's commands, as lists of words. */
export class TemporalCommand {
  private readonly connection: readonly string[];

  constructor({ address, namespace, profile }: TemporalOptions) {
    const flag = (name: string, value: string | undefined): string[] => (value === undefined ? [] : [name, value]);
    this.connection = [...flag('--address', address), ...flag('--namespace', namespace), ...flag('--profile', profile)];
  }

  /** Returns the command that starts a workflow with an input. */
  start(start: StartCommand): string[] {
    return this.workflow('start', ...startArgs(start), '--id-conflict-policy', 'Fail');
  }

  /** Returns the command that starts a workflow whose first message is a signal. */
  signalWithStart(start: StartCommand, name: string, message: object): string[] {
    const signal = ['--signal-name', name, '--signal-input', JSON.stringify(message)];
    return this.workflow('signal-with-start', ...signal, ...startArgs(start));
  }

  /** Returns the command that sends a message and waits for the answer. */
  update(workflowId: string, name: string, message: object): string[] {
    const updateArgs = ['--name', name, '--input', JSON.stringify(message)];
    return this.workflow('update', 'execute', '--workflow-id', workflowId, ...updateArgs);
  }

  query(workflowId: string, name: string): string[] {
    return this.workflow('query', '--workflow-id', workflowId, '--name', name);
  }

  result(workflowId: string): string[] {
    return this.workflow('result', '--workflow-id', workflowId);
  }

  private workflow(...args: string[]): string[] {
    return ['temporal', ...this.connection, 'workflow', ...args];
  }
}

function startArgs({ type, workflowId, taskQueue, input, cluster }: StartCommand): string[] {
  const attribute = `${searchAttributes.cluster.name}=${JSON.stringify(cluster)}`;
  return [
    ...['--type', type, '--task-queue', taskQueue, '--workflow-id', workflowId],
    ...(cluster === undefined ? [] : ['--search-attribute', attribute]),
    ...['--input', JSON.stringify(input)],
  ];
}
