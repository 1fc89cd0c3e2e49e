import type { Client } from '@temporalio/client';
import { defineUpdate } from '@temporalio/workflow';
import type { Versioned } from '../model/api-version.ts';
import type { FleetMessageName } from '../model/fleet-messages.ts';
import type { FleetStatus } from '../model/fleet-status.ts';
import type { fleetMigration } from '../workflows/index.ts';
import { fleetStatusQuery, fleetWorkflowId } from '../workflows/messages.ts';
import type { FleetMessages } from '../workflows/operator-messages.ts';
import type { MigrationOptions } from './migration.ts';
import { defaultTimeoutMs } from './time-limit.ts';
import { WorkflowRequests, type Ending } from './workflow-requests.ts';

/** A fleet's migration, started or not. Requests throw what those of a `Migration` do. */
export class Fleet {
  readonly fleet: string;
  readonly workflowId: string;
  private readonly requests: WorkflowRequests<typeof fleetMigration>;

  constructor(client: Client, fleet: string, options: MigrationOptions = {}) {
    const { workflowId = fleetWorkflowId(fleet), timeoutMs = defaultTimeoutMs } = options;
    this.fleet = fleet;
    this.workflowId = workflowId;
    this.requests = new WorkflowRequests(client, workflowId, timeoutMs);
  }

  /** Returns the status, also after the end. */
  status(): Promise<Versioned<FleetStatus>> {
    return this.requests.query(fleetStatusQuery);
  }

  /** Allows a cluster to start. */
  approve(message: FleetMessages['approve']): Promise<string> {
    return this.send('approve', message);
  }

  /** Skips a cluster that is not being migrated. */
  skip(message: FleetMessages['skip']): Promise<string> {
    return this.send('skip', message);
  }

  /** Retries a cluster that failed, was skipped or rolled back. */
  retry(message: FleetMessages['retry']): Promise<string> {
    return this.send('retry', message);
  }

  /** Starts no other cluster. */
  pause(message: FleetMessages['pause'] = {}): Promise<string> {
    return this.send('pause', message);
  }

  /** Continues after a pause. */
  resume(message: FleetMessages['resume'] = {}): Promise<string> {
    return this.send('resume', message);
  }

  /** Starts no other cluster, and ends once the running migrations have ended. */
  abort(message: FleetMessages['abort'] = {}): Promise<string> {
    return this.send('abort', message);
  }

  /**
   * Sends a message by its name and waits for the answer.
   * @returns text with the effect of the message.
   * @throws WorkflowUpdateFailedError with the reason when the message is refused.
   */
  send<Name extends FleetMessageName>(name: Name, message: FleetMessages[Name]): Promise<string> {
    return this.requests.update(defineUpdate<string, [FleetMessages[Name]]>(name), message);
  }

  /** Returns how the latest run has ended; undefined while it is open. Needs no worker. */
  ending(): Promise<Ending | undefined> {
    return this.requests.ending();
  }

  /**
   * Waits for the end of the fleet.
   * @throws WorkflowFailedError when it fails; the cause has the type and the message.
   */
  result(): Promise<Versioned<FleetStatus>> {
    return this.requests.result();
  }
}
