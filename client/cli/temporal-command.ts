import {
  fleetWorkflowId,
  migrationWorkflowId,
  policyReportWorkflowId,
  preflightWorkflowId,
} from '../../workflows/messages.ts';
import type { FleetRequest } from '../../model/fleet-input.ts';
import type { MessageName } from '../../model/message-schemas.ts';
import type { TemporalOptions } from '../../temporal/connection-config.ts';

/** Command lines of the Temporal CLI that are equivalent to this program's commands, as lists of words. */
export class TemporalCommand {
  private readonly connection: readonly string[];

  private readonly workflowId: string | undefined;

  /** @param options connection to Temporal, and the workflow ID of the migration when it differs from the default. */
  constructor({ address, namespace, profile, workflowId }: TemporalOptions & { workflowId?: string | undefined }) {
    this.workflowId = workflowId;
    const flag = (name: string, value: string | undefined): string[] => (value === undefined ? [] : [name, value]);
    this.connection = [...flag('--address', address), ...flag('--namespace', namespace), ...flag('--profile', profile)];
  }

  /** Returns the command that starts a workflow with an input. */
  start(
    workflow: 'clusterMigration' | 'clusterPreflight' | 'clusterPolicyReport',
    cluster: string,
    input: unknown,
    taskQueue: string
  ): string[] {
    const id = {
      clusterMigration: this.resolveWorkflowId(cluster),
      clusterPreflight: preflightWorkflowId(cluster),
      clusterPolicyReport: policyReportWorkflowId(cluster),
    }[workflow];
    const type = ['--type', workflow, '--task-queue', taskQueue, '--workflow-id', id];
    return this.workflow('start', ...type, '--id-conflict-policy', 'Fail', '--input', JSON.stringify(input));
  }

  /** Returns the command that starts the migration of a fleet. */
  startFleet(request: FleetRequest, taskQueue: string): string[] {
    const id = ['--workflow-id', fleetWorkflowId(request.fleet), '--id-conflict-policy', 'Fail'];
    const input = ['--input', JSON.stringify(request)];
    return this.workflow('start', '--type', 'fleetMigration', '--task-queue', taskQueue, ...id, ...input);
  }

  /** Returns the command that sends a message and waits for the answer. */
  update(cluster: string, name: MessageName, message: object): string[] {
    const updateArgs = ['--name', name, '--input', JSON.stringify(message)];
    return this.workflow('update', 'execute', '--workflow-id', this.resolveWorkflowId(cluster), ...updateArgs);
  }

  query(cluster: string, name: string): string[] {
    return this.workflow('query', '--workflow-id', this.resolveWorkflowId(cluster), '--name', name);
  }

  result(cluster: string): string[] {
    return this.workflow('result', '--workflow-id', this.resolveWorkflowId(cluster));
  }

  private resolveWorkflowId(cluster: string): string {
    return this.workflowId ?? migrationWorkflowId(cluster);
  }

  private workflow(...args: string[]): string[] {
    return ['temporal', ...this.connection, 'workflow', ...args];
  }
}
