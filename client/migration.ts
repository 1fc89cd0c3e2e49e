import type { Client } from '@temporalio/client';
import type { Versioned } from '../model/api-version.ts';
import type { Ledger } from '../model/ledger.ts';
import type { MessageName, Messages } from '../model/message-schemas.ts';
import type { Plan } from '../model/plan.ts';
import type { PolicyReport } from '../model/policies.ts';
import type { CheckOutcome } from '../model/preflight.ts';
import type { Blocker, MigrationReport, MigrationStatus, NodeStatus } from '../model/status.ts';
import type { clusterMigration } from '../workflows/index.ts';
import {
  blockersQuery,
  ledgerQuery,
  migrationWorkflowId,
  nodeQuery,
  planQuery,
  policiesQuery,
  preflightQuery,
  statusQuery,
  update,
} from '../workflows/messages.ts';
import type { NodePage } from '../model/status-view.ts';
import { queryCompleteStatus } from './status-pages.ts';
import { defaultTimeoutMs } from './time-limit.ts';
import { WorkflowRequests, type Ending } from './workflow-requests.ts';

/** Options of a {@link Migration}. */
export interface MigrationOptions {
  /**
   * Workflow ID when it differs from the default, such as that of a run started by a schedule.
   * @default migrationWorkflowId(cluster)
   */
  workflowId?: string | undefined;
  /**
   * Time limit of each request, in ms. Waiting for the result only requires that the server answers this often.
   * @default 30_000
   */
  timeoutMs?: number | undefined;
}

/**
 * A cluster's migration, started or not. The Temporal CLI can do everything that this class does.
 *
 * Every request throws WorkflowNotFoundError when there is no migration, TemporalUnreachable when the server does not
 * answer, NoWorkerError when no worker could answer, and NoAnswerError when none did.
 */
export class Migration {
  readonly cluster: string;
  readonly workflowId: string;
  private readonly requests: WorkflowRequests<typeof clusterMigration>;

  constructor(client: Client, cluster: string, options: MigrationOptions = {}) {
    const { workflowId = migrationWorkflowId(cluster), timeoutMs = defaultTimeoutMs } = options;
    this.cluster = cluster;
    this.workflowId = workflowId;
    this.requests = new WorkflowRequests(client, workflowId, timeoutMs);
  }

  /**
   * Returns the status, also after the end.
   * @param page part of the nodes.
   * @default all nodes, or of more than 1,000 those that need attention
   */
  status(page?: NodePage): Promise<Versioned<MigrationStatus>> {
    return this.requests.query(statusQuery, page);
  }

  /** Returns the status with all nodes, however many there are. */
  completeStatus(): Promise<Versioned<MigrationStatus>> {
    return queryCompleteStatus((page) => this.status(page));
  }

  /** Returns the plan; undefined until it is computed. */
  plan(): Promise<Versioned<Plan> | undefined> {
    return this.requests.query(planQuery);
  }

  /** Returns the outcomes of the preflight checks; undefined until they have run. */
  preflight(): Promise<CheckOutcome[] | undefined> {
    return this.requests.query(preflightQuery);
  }

  /** Returns the latest comparison of policies; undefined until Cilium is installed. */
  policies(): Promise<Versioned<PolicyReport> | undefined> {
    return this.requests.query(policiesQuery);
  }

  /** Returns the measurements of every kind of path, by stage. */
  ledger(): Promise<Versioned<Ledger>> {
    return this.requests.query(ledgerQuery);
  }

  /** Returns the blockers of the nodes in progress. */
  blockers(): Promise<(Blocker & { node: string })[]> {
    return this.requests.query(blockersQuery);
  }

  /** Returns the status of a node; undefined when there is no node of that name. */
  node(name: string): Promise<Versioned<NodeStatus> | undefined> {
    return this.requests.query(nodeQuery, name);
  }

  /** Approves a node, a wave, the plan, the cutover or the cleanup. Messages return and throw what {@link send} does. */
  approve(message: Messages['approve']): Promise<string> {
    return this.send('approve', message);
  }

  /** Rejects a node, a wave, the plan, the cutover or the cleanup. */
  reject(message: Messages['reject']): Promise<string> {
    return this.send('reject', message);
  }

  /** Starts nothing new. */
  pause(message: Messages['pause'] = {}): Promise<string> {
    return this.send('pause', message);
  }

  /** Continues after a pause. */
  resume(message: Messages['resume'] = {}): Promise<string> {
    return this.send('resume', message);
  }

  /** Skips a node, or a step of the whole cluster whose answers contain that. */
  skip(message: Messages['skip']): Promise<string> {
    return this.send('skip', message);
  }

  /** Retries a node that failed, was skipped or rolled back; or steps that have no attempt left. */
  retry(message: Messages['retry']): Promise<string> {
    return this.send('retry', message);
  }

  /** Rolls one node, or all nodes, back to Canal. */
  rollback(message: Messages['rollback']): Promise<string> {
    return this.send('rollback', message);
  }

  /** Ends the migration. */
  abort(message: Messages['abort'] = {}): Promise<string> {
    return this.send('abort', message);
  }

  /** Changes the number of nodes per wave, from the next wave on. */
  setMaxConcurrency(message: Messages['setMaxConcurrency']): Promise<string> {
    return this.send('setMaxConcurrency', message);
  }

  /** Deletes a pod that an eviction cannot move. */
  forcePod(message: Messages['forcePod']): Promise<string> {
    return this.send('forcePod', message);
  }

  /**
   * Sends a message by its name and waits for the answer.
   * @returns text with the effect of the message.
   * @throws WorkflowUpdateFailedError with the reason when the message is refused.
   * @throws WorkflowEndedError when the migration has ended.
   * @throws NoAnswerError when there is no answer; the message may still take effect then.
   */
  send<Name extends MessageName>(name: Name, message: Messages[Name]): Promise<string> {
    return this.requests.update(update(name), message);
  }

  /** Returns how the latest run has ended; undefined while it is open. Needs no worker. */
  ending(): Promise<Ending | undefined> {
    return this.requests.ending();
  }

  /**
   * Waits for the end of the migration.
   * @throws WorkflowFailedError when it fails; the cause has the type and the message.
   */
  result(): Promise<Versioned<MigrationReport>> {
    return this.requests.result();
  }
}
