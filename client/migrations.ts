import { WorkflowIdConflictPolicy, type Client, type WorkflowHandle } from '@temporalio/client';
import type { clusterMigration } from '../workflows/index.ts';
import {
  approveSignal,
  defaultTaskQueue,
  migrationWorkflowId,
  statusQuery,
  type Approval,
} from '../workflows/messages.ts';
import type { MigrationRequest } from '../workflows/model/input.ts';
import type { MigrationReport, MigrationStatus } from '../workflows/model/status.ts';

/** A cluster's migration, started or to be started. Everything here can be done with the Temporal CLI too. */
export class Migration {
  private readonly client: Client;
  readonly cluster: string;

  constructor(client: Client, cluster: string) {
    this.client = client;
    this.cluster = cluster;
  }

  private get handle(): WorkflowHandle<typeof clusterMigration> {
    return this.client.workflow.getHandle<typeof clusterMigration>(migrationWorkflowId(this.cluster));
  }

  /**
   * Starts it.
   * @throws WorkflowExecutionAlreadyStartedError while another run for the cluster is open.
   */
  async start(request: Omit<MigrationRequest, 'cluster'> = {}, taskQueue = defaultTaskQueue): Promise<void> {
    await this.client.workflow.start<typeof clusterMigration>('clusterMigration', {
      taskQueue,
      workflowId: migrationWorkflowId(this.cluster),
      workflowIdConflictPolicy: WorkflowIdConflictPolicy.FAIL,
      staticSummary: `${this.cluster}: Canal to Cilium`,
      args: [{ ...request, cluster: this.cluster }],
    });
  }

  /** Where it is. Needs a worker that runs. */
  status(): Promise<MigrationStatus> {
    return this.handle.query(statusQuery);
  }

  /** Lets a node be migrated. */
  approve(approval: Approval): Promise<void> {
    return this.handle.signal(approveSignal, approval);
  }

  /** Waits for its end. @throws WorkflowFailedError when it fails; the cause has the type and the message. */
  result(): Promise<MigrationReport> {
    return this.handle.result();
  }
}
