import { WorkflowIdConflictPolicy, type Client, type WorkflowHandle } from '@temporalio/client';
import type { Versioned } from '../model/api-version.ts';
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
import type { NodePage } from '../model/status-view.ts';
import type { Ledger } from '../model/ledger.ts';
import type { MessageName, Messages } from '../model/message-schemas.ts';
import type { Plan } from '../model/plan.ts';
import type { CheckOutcome, PreflightReport } from '../model/preflight.ts';
import type { Blocker, MigrationReport, MigrationStatus } from '../model/status.ts';
import { queryCompleteStatus } from './status-pages.ts';

/** A cluster's migration, started or not. The Temporal CLI can do everything that this class does. */
export class Migration {
  private readonly client: Client;
  readonly cluster: string;
  readonly workflowId: string;

  /** @param workflowId workflow ID when it differs from the default, such as that of a run started by a schedule. */
  constructor(client: Client, cluster: string, workflowId = migrationWorkflowId(cluster)) {
    this.client = client;
    this.cluster = cluster;
    this.workflowId = workflowId;
  }

  private get handle(): WorkflowHandle<typeof clusterMigration> {
    return this.client.workflow.getHandle<typeof clusterMigration>(this.workflowId);
  }

  /**
   * Starts the migration.
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

  /** Runs only the checks, without any change, and waits for their outcomes. */
  check(
    request: Omit<MigrationRequest, 'cluster'> = {},
    taskQueue = defaultTaskQueue
  ): Promise<Versioned<PreflightReport>> {
    return this.client.workflow.execute<typeof clusterPreflight>('clusterPreflight', {
      taskQueue,
      workflowId: preflightWorkflowId(this.cluster),
      workflowIdConflictPolicy: WorkflowIdConflictPolicy.FAIL,
      staticSummary: `${this.cluster}: checks`,
      args: [{ ...request, cluster: this.cluster }],
    });
  }

  /** Compares the policy verdicts of both networks, without any change. */
  policyReport(
    request: Omit<MigrationRequest, 'cluster'> = {},
    taskQueue = defaultTaskQueue
  ): Promise<Versioned<ClusterPolicyReport>> {
    return this.client.workflow.execute<typeof clusterPolicyReport>('clusterPolicyReport', {
      taskQueue,
      workflowId: policyReportWorkflowId(this.cluster),
      workflowIdConflictPolicy: WorkflowIdConflictPolicy.FAIL,
      staticSummary: `${this.cluster}: policies`,
      args: [{ ...request, cluster: this.cluster }],
    });
  }

  /**
   * Returns the status. Needs a running worker.
   * @param page part of the nodes.
   * @default all nodes, or of more than 1,000 those that need attention
   */
  status(page?: NodePage): Promise<Versioned<MigrationStatus>> {
    return this.handle.query(statusQuery, page);
  }

  /** Returns the status with all nodes, however many there are. */
  completeStatus(): Promise<Versioned<MigrationStatus>> {
    return queryCompleteStatus((page) => this.status(page));
  }

  /** Returns the plan; undefined until it is computed. */
  plan(): Promise<Versioned<Plan> | undefined> {
    return this.handle.query(planQuery);
  }

  /** Returns the outcomes of the preflight checks; undefined until they have run. */
  preflight(): Promise<CheckOutcome[] | undefined> {
    return this.handle.query(preflightQuery);
  }

  /** Returns the measurements of every kind of path, by stage. */
  ledger(): Promise<Versioned<Ledger>> {
    return this.handle.query(ledgerQuery);
  }

  /** Returns the blockers of the nodes in progress. */
  blockers(): Promise<(Blocker & { node: string })[]> {
    return this.handle.query(blockersQuery);
  }

  /**
   * Sends a message and waits for the answer.
   * @returns text with the effect of the message.
   * @throws WorkflowUpdateFailedError with the reason when the message is refused.
   */
  send<Name extends MessageName>(name: Name, message: Messages[Name]): Promise<string> {
    return this.handle.executeUpdate(update(name), { args: [message] });
  }

  /**
   * Waits for the end of the migration.
   * @throws WorkflowFailedError when it fails; the cause has the type and the message.
   */
  result(): Promise<Versioned<MigrationReport>> {
    return this.handle.result();
  }
}
