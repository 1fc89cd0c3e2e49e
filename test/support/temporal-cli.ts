import type { TemporalServer } from '../../lab/cluster/temporal.ts';
import { until } from '../../lab/process.ts';
import type { MessageName } from '../../model/message-schemas.ts';
import type { MigrationStatus } from '../../model/status.ts';
import { migrationWorkflowId } from '../../workflows/messages.ts';

/** A history in JSON with what is in its payloads in the place of their base64. */
export function withPayloads(json: string): string {
  return json.replaceAll(/"data": *"([^"]*)"/g, (_all, data: string) => Buffer.from(data, 'base64').toString());
}

/** What an operator does with a cluster's migration, with nothing but the Temporal CLI. */
export class TemporalCli {
  private readonly server: Pick<TemporalServer, 'cli'>;
  private readonly workflowId: string;

  /** @param workflowId of another workflow than the cluster's migration. */
  constructor(server: Pick<TemporalServer, 'cli'>, cluster: string, workflowId = migrationWorkflowId(cluster)) {
    this.server = server;
    this.workflowId = workflowId;
  }

  async start(input: string, workflow = 'clusterMigration'): Promise<void> {
    const type = ['--type', workflow, '--task-queue', 'cni-migration', '--id-conflict-policy', 'Fail'];
    await this.server.cli('workflow', 'start', ...type, '--workflow-id', this.workflowId, '--input', input);
  }

  /** Sends a message as a signal. */
  async send(name: MessageName, message: object): Promise<void> {
    await this.server.cli('workflow', 'signal', ...this.message(name, message));
  }

  /** Sends a message as an update. @returns what the CLI says. */
  ask(name: MessageName, message: object): Promise<string> {
    return this.server.cli('workflow', 'update', 'execute', ...this.message(name, message));
  }

  approve(node: string): Promise<void> {
    return this.send('approve', { node, by: 'tester' });
  }

  /** Waits for the approval of the plan, and gives it. */
  async approvePlan(): Promise<void> {
    await until('the plan', async () => (await this.status().catch(() => undefined))?.phase === 'plan', {
      timeoutMs: 60_000,
    });
    await this.send('approve', { plan: true, by: 'tester' });
  }

  /** State of a node; undefined when nobody answers. */
  async nodeState(name: string): Promise<string | undefined> {
    return (await this.status().catch(() => undefined))?.nodes.find((node) => node.name === name)?.state;
  }

  /** Waits until a node is in one of these states. @throws Error with the status instead. */
  async untilNode(name: string, ...states: string[]): Promise<void> {
    const reached = async (): Promise<boolean> => states.includes((await this.nodeState(name)) ?? '');
    const patience = { timeoutMs: 300_000, everyMs: 500 };
    await until(`${name} to be ${states.join(' or ')}`, reached, patience).catch(async (error: unknown) => {
      const instead = JSON.stringify(await this.status().catch(String));
      throw new Error(`${String(error)}; instead: ${instead.slice(0, 3_000)}`, { cause: error });
    });
  }

  private message(name: MessageName, message: object): string[] {
    return ['--workflow-id', this.workflowId, '--name', name, '--input', JSON.stringify({ by: 'tester', ...message })];
  }

  /** Types of the activities that a node's workflow has under way. */
  async activitiesOf(node: string): Promise<string[]> {
    const id = `${this.workflowId}/node/${node}`;
    const text = await this.server.cli('workflow', 'describe', '--workflow-id', id, '-o', 'json').catch(() => '{}');
    const { pendingActivities } = JSON.parse(text) as { pendingActivities?: { activityType: { name: string } }[] };
    return (pendingActivities ?? []).map(({ activityType }) => activityType.name);
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
