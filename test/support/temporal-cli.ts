import type { TemporalServer } from '../../lab/cluster/temporal.ts';
import { waitFor } from '../../lab/process.ts';
import type { MessageName } from '../../model/message-schemas.ts';
import type { MigrationStatus } from '../../model/status.ts';
import { migrationWorkflowId } from '../../workflows/messages.ts';
import { timeLimits } from './time-limits.ts';
import { parseHistory, type WorkflowHistory } from './workflow-history.ts';

/** Returns a history in JSON with the text of its payloads instead of their base64. */
export function withPayloads(json: string): string {
  return json.replaceAll(/"data": *"([^"]*)"/g, (_all, data: string) => Buffer.from(data, 'base64').toString());
}

/** Actions of an operator on a cluster's migration, only with the Temporal CLI. */
export class TemporalCli {
  private readonly server: Pick<TemporalServer, 'cli'>;
  private readonly workflowId: string;

  /** @param workflowId another workflow than the cluster's migration. */
  constructor(server: Pick<TemporalServer, 'cli'>, cluster: string, workflowId = migrationWorkflowId(cluster)) {
    this.server = server;
    this.workflowId = workflowId;
  }

  /**
   * Starts a workflow.
   * @param flags additional flags of `temporal workflow start`.
   */
  async start(input: string, workflow = 'clusterMigration', ...flags: string[]): Promise<void> {
    const type = ['--type', workflow, '--task-queue', 'cni-migration', '--id-conflict-policy', 'Fail', ...flags];
    await this.server.cli('workflow', 'start', ...type, '--workflow-id', this.workflowId, '--input', input);
  }

  /** Sends a message as a signal. */
  async send(name: MessageName, message: object): Promise<void> {
    await this.server.cli('workflow', 'signal', ...this.message(name, message));
  }

  /**
   * Sends a message as an update.
   * @returns the output of the CLI.
   */
  update(name: MessageName, message: object): Promise<string> {
    return this.server.cli('workflow', 'update', 'execute', ...this.message(name, message));
  }

  approve(node: string): Promise<void> {
    return this.send('approve', { node, by: 'tester' });
  }

  /** Waits until the plan awaits approval, and approves it. */
  async approvePlan(): Promise<void> {
    await this.waitForStatus('the plan', ({ phase }) => phase === 'plan', timeLimits.preflight);
    await this.send('approve', { plan: true, by: 'tester' });
  }

  /**
   * Waits until the status satisfies a condition. A missing answer, as while no worker runs, is no error.
   * @param timeoutMs time limit in ms. @default timeLimits.wholeMigration
   * @returns that status.
   * @throws Error with the latest status when the time is over.
   */
  async waitForStatus(
    what: string,
    condition: (status: MigrationStatus) => boolean,
    timeoutMs = timeLimits.wholeMigration
  ): Promise<MigrationStatus> {
    let latest: MigrationStatus | undefined;
    const holds = async (): Promise<boolean> => {
      latest = (await this.status().catch(() => undefined)) ?? latest;
      return latest !== undefined && condition(latest);
    };
    await waitFor(what, holds, { timeoutMs, pollIntervalMs: 500 }).catch((error: unknown) => {
      throw new Error(`${String(error)}; the latest status: ${JSON.stringify(latest).slice(0, 3_000)}`, {
        cause: error,
      });
    });
    if (latest === undefined) throw new Error(`no status while waiting for ${what}`);
    return latest;
  }

  /**
   * Waits until a node is in one of these states.
   * @throws Error with the status instead.
   */
  async waitForNode(name: string, ...states: string[]): Promise<void> {
    const reached = ({ nodes }: MigrationStatus): boolean =>
      states.includes(nodes.find((node) => node.name === name)?.state ?? '');
    await this.waitForStatus(`${name} to be ${states.join(' or ')}`, reached, timeLimits.wholeNode);
  }

  /** Waits until the cutover awaits its approval, and approves it. */
  async approveCutover(): Promise<void> {
    const isAwaited = ({ waiting }: MigrationStatus): boolean =>
      waiting?.kind === 'approval' && waiting.key === 'cutover';
    await this.waitForStatus('the cutover to wait', isAwaited);
    await this.send('approve', { cutover: true });
  }

  /**
   * Waits until the cleanup awaits its approval.
   * @returns the status.
   */
  waitForCleanup(): Promise<MigrationStatus> {
    return this.waitForStatus(
      'the cleanup to wait',
      ({ phase, waitingFor }) => phase === 'cleanup' && waitingFor !== undefined
    );
  }

  /** Waits until a node's workflow has started an activity of this type since a moment. */
  async waitForActivity(node: string, type: string, since: Date): Promise<void> {
    const hasStarted = async (): Promise<boolean> => {
      const { activities } = await this.nodeHistory(node);
      return activities.some(({ name, scheduledMs }) => name === type && scheduledMs >= since.getTime());
    };
    await waitFor(`${type} of ${node}`, hasStarted, { timeoutMs: timeLimits.nodeStep, pollIntervalMs: 500 });
  }

  /** Returns the history of the latest migration or rollback of a node; empty when there was none. */
  nodeHistory(node: string): Promise<WorkflowHistory> {
    return this.history(`${this.workflowId}/node/${node}`).catch(() => ({ activities: [], children: [] }));
  }

  /**
   * Returns the history of a workflow.
   * @param workflowId @default the cluster's migration
   * @param runId @default the latest run
   */
  async history(workflowId = this.workflowId, runId?: string): Promise<WorkflowHistory> {
    const run = runId === undefined ? [] : ['--run-id', runId];
    return parseHistory(await this.server.cli('workflow', 'show', '--workflow-id', workflowId, ...run, '-o', 'json'));
  }

  private message(name: MessageName, message: object): string[] {
    return ['--workflow-id', this.workflowId, '--name', name, '--input', JSON.stringify({ by: 'tester', ...message })];
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

  /**
   * Waits for the end of the migration.
   * @returns its status, and the result or the failure.
   */
  async waitForEnd(): Promise<{
    status: string;
    result?: unknown;
    failure?: { message: string; type: string | undefined };
  }> {
    // The command's exit code also reports a failure; its details are read below.
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
