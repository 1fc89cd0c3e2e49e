import type { TemporalServer } from '../../lab/cluster/temporal.ts';
import type { MigrationStatus } from '../../workflows/model/status.ts';
import { migrationWorkflowId } from '../../workflows/messages.ts';

/** What an operator does with a cluster's migration, with nothing but the Temporal CLI. */
export class TemporalCli {
  private readonly server: TemporalServer;
  private readonly workflowId: string;

  constructor(server: TemporalServer, cluster: string) {
    this.server = server;
    this.workflowId = migrationWorkflowId(cluster);
  }

  async start(input: string): Promise<void> {
    const type = ['--type', 'clusterMigration', '--task-queue', 'cni-migration', '--id-conflict-policy', 'Fail'];
    await this.server.cli('workflow', 'start', ...type, '--workflow-id', this.workflowId, '--input', input);
  }

  async approve(node: string): Promise<void> {
    const input = JSON.stringify({ node, approver: 'tester' });
    await this.server.cli(
      'workflow',
      'signal',
      '--workflow-id',
      this.workflowId,
      '--name',
      'approve',
      '--input',
      input
    );
  }

  async status(): Promise<MigrationStatus> {
    const text = await this.server.cli(
      'workflow',
      'query',
      '--workflow-id',
      this.workflowId,
      '--name',
      'status',
      '-o',
      'json'
    );
    const [status] = (JSON.parse(text) as { queryResult: [MigrationStatus] }).queryResult;
    // The CLI shows an empty list as null.
    return { ...status, nodes: status.nodes ?? [] };
  }

  /** Waits for the end. @returns its status, and the result or the failure. */
  async end(): Promise<{ status: string; result?: unknown; failure?: { message: string; type: string | undefined } }> {
    // The command's exit code tells a failure too; what it says is asked for below.
    await this.server.cli('workflow', 'result', '--workflow-id', this.workflowId).catch(() => '');
    const shown = await this.server.cli('workflow', 'show', '--workflow-id', this.workflowId, '-o', 'json');
    interface Event {
      eventType: string;
      workflowExecutionCompletedEventAttributes?: { result?: { payloads?: { data: string }[] } };
      workflowExecutionFailedEventAttributes?: {
        failure: { message: string; applicationFailureInfo?: { type?: string } };
      };
    }
    const last = (JSON.parse(shown) as { events: Event[] }).events.at(-1);
    const data = last?.workflowExecutionCompletedEventAttributes?.result?.payloads?.[0]?.data;
    const failure = last?.workflowExecutionFailedEventAttributes?.failure;
    return {
      status: last?.eventType.replace('EVENT_TYPE_WORKFLOW_EXECUTION_', '') ?? '',
      ...(data !== undefined && { result: JSON.parse(Buffer.from(data, 'base64').toString()) as unknown }),
      ...(failure && { failure: { message: failure.message, type: failure.applicationFailureInfo?.type } }),
    };
  }
}
