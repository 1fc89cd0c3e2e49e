import { WorkflowIdConflictPolicy, type Client, type WorkflowHandle } from '@temporalio/client';
import type { ClusterPolicyReport } from '../model/policies.ts';
import type { clusterMigration, clusterPolicyReport, clusterPreflight } from '../workflows/index.ts';
import {
  blockersQuery,
  defaultTaskQueue,
  ledgerQuery,
  migrationWorkflowId,
  planQuery,
  preflightQuery,
  policyReportWorkflowId,
  preflightWorkflowId,
  statusQuery,
  update,
} from '../workflows/messages.ts';
import type { MigrationRequest } from '../model/input.ts';
import type { Ledger } from '../model/ledger.ts';
import type { MessageName, Messages } from '../model/message-schemas.ts';
import type { Plan } from '../model/plan.ts';
import type { CheckOutcome, PreflightReport } from '../model/preflight.ts';
import type { Blocker, MigrationReport, MigrationStatus } from '../model/status.ts';

/** A cluster's migration, started or to be started. Everything here can be done with the Temporal CLI too. */
export class Migration {
  private readonly client: Client;
  readonly cluster: string;
  readonly workflowId: string;

  /** @param workflowId of its run, where that is another, as of one that a schedule began. */
  constructor(client: Client, cluster: string, workflowId = migrationWorkflowId(cluster)) {
    this.client = client;
    this.cluster = cluster;
    this.workflowId = workflowId;
  }

  private get handle(): WorkflowHandle<typeof clusterMigration> {
    return this.client.workflow.getHandle<typeof clusterMigration>(this.workflowId);
  }

  /**
   * Starts it.
   * @throws WorkflowExecutionAlreadyStartedError while another run for the cluster is open.
   */
  async start(request: Omit<MigrationRequest, 'cluster'> = {}, taskQueue = defaultTaskQueue): Promise<void> {
    await this.client.workflow.start<typeof clusterMigration>('clusterMigration', {
      taskQueue,
      workflowId: this.workflowId,
      workflowIdConflictPolicy: WorkflowIdConflictPolicy.FAIL,
      staticSummary: `${this.cluster}: Canal to Cilium`,
      args: [{ ...request, cluster: this.cluster }],
    });
  }

  /** Runs the checks alone, changing nothing, and waits for their outcome. */
  check(request: Omit<MigrationRequest, 'cluster'> = {}, taskQueue = defaultTaskQueue): Promise<PreflightReport> {
    return this.client.workflow.execute<typeof clusterPreflight>('clusterPreflight', {
      taskQueue,
      workflowId: preflightWorkflowId(this.cluster),
      workflowIdConflictPolicy: WorkflowIdConflictPolicy.FAIL,
      staticSummary: `${this.cluster}: checks`,
      args: [{ ...request, cluster: this.cluster }],
    });
  }

  /** Compares how policies are judged by both networks, changing nothing. */
  policyReport(
    request: Omit<MigrationRequest, 'cluster'> = {},
    taskQueue = defaultTaskQueue
  ): Promise<ClusterPolicyReport> {
    return this.client.workflow.execute<typeof clusterPolicyReport>('clusterPolicyReport', {
      taskQueue,
      workflowId: policyReportWorkflowId(this.cluster),
      workflowIdConflictPolicy: WorkflowIdConflictPolicy.FAIL,
      staticSummary: `${this.cluster}: policies`,
      args: [{ ...request, cluster: this.cluster }],
    });
  }

  /** Where it is. Needs a worker that runs. */
  status(): Promise<MigrationStatus> {
    return this.handle.query(statusQuery);
  }

  /** What it is going to do; undefined until it knows. */
  plan(): Promise<Plan | undefined> {
    return this.handle.query(planQuery);
  }

  /** Outcomes of the checks that it began with; undefined until they have run. */
  preflight(): Promise<CheckOutcome[] | undefined> {
    return this.handle.query(preflightQuery);
  }

  /** What was measured on every kind of path, by stage. */
  ledger(): Promise<Ledger> {
    return this.handle.query(ledgerQuery);
  }

  /** What holds up the nodes that are under way. */
  blockers(): Promise<(Blocker & { node: string })[]> {
    return this.handle.query(blockersQuery);
  }

  /**
   * Sends a message and waits for the answer.
   * @returns what was done, in words.
   * @throws WorkflowUpdateFailedError with the reason when it makes no sense now.
   */
  send<Name extends MessageName>(name: Name, message: Messages[Name]): Promise<string> {
    return this.handle.executeUpdate(update(name), { args: [message] });
  }

  /** Waits for its end. @throws WorkflowFailedError when it fails; the cause has the type and the message. */
  result(): Promise<MigrationReport> {
    return this.handle.result();
  }
}
