import {
  ApplicationFailure,
  CancellationScope,
  ParentClosePolicy,
  allHandlersFinished,
  condition,
  executeChild,
  isCancellation,
  setCurrentDetails,
  setHandler,
} from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import type { clusterMigration } from '../cluster/cluster-migration.ts';
import { clusterProgressSignal, fleetStatusQuery, migrationWorkflowId } from '../messages.ts';
import { applyFleetMessage, type FleetDecisions, type FleetMessageContext } from '../../model/fleet-decisions.ts';
import { parseFleet, type FleetInput } from '../../model/fleet-input.ts';
import { withApiVersion, type Versioned } from '../../model/api-version.ts';
import {
  fleetMessageNames,
  parseFleetMessage,
  type FleetMessage,
  type FleetMessageName,
} from '../../model/fleet-messages.ts';
import type { FleetCluster, FleetStatus } from '../../model/fleet-status.ts';
import { fleetMarkdown } from '../../model/markdown/fleet-status.ts';
import type { MigrationInput } from '../../model/input.ts';
import { appendNote, type MigrationReport } from '../../model/status.ts';
import { failureSummary, operatorFailure } from '../support/operator-failure.ts';
import { Changes } from '../support/changes.ts';
import { setMessageHandlers } from '../support/message-handlers.ts';
import { Waits, type Wait } from '../support/waits.ts';
import { searchAttributes } from '../search-attributes.ts';

/**
 * Migrates many clusters in order, each with its own {@link clusterMigration}: canary clusters first, one by one, then
 * several in parallel. A cluster may need an approval to start, and a failure prevents the start of the others.
 *
 * @param raw a FleetRequest; validated with the input of every cluster before anything else.
 * @throws ApplicationFailure InvalidInput, or Aborted once the running migrations have ended.
 */
export async function fleetMigration(raw: unknown): Promise<Versioned<FleetStatus>> {
  const parsed = parseFleet(raw);
  if ('problems' in parsed) {
    throw ApplicationFailure.nonRetryable(
      `the input is not a valid fleet:\n${parsed.problems.join('\n')}`,
      'InvalidInput'
    );
  }
  try {
    // No await before this line: the handlers must exist when the first message arrives.
    const status = await new Fleet(parsed.input).run();
    await condition(allHandlersFinished);
    return withApiVersion(status);
  } catch (error) {
    throw operatorFailure(error);
  }
}

class Fleet {
  private readonly input: FleetInput;
  readonly status: FleetStatus;
  readonly control: FleetDecisions = {};
  /** Messages and ends of migrations: each ends the current wait, so that its caller checks again. */
  private readonly changes = new Changes();
  private readonly waits: Waits;
  private readonly active = new Map<string, Promise<void>>();

  constructor(input: FleetInput) {
    this.input = input;
    const clusters = input.clusters.map(({ cluster }, index): FleetCluster => {
      const workflowId = migrationWorkflowId(cluster);
      return { cluster, canary: index < input.canaryClusters, state: 'pending', workflowId };
    });
    this.status = { fleet: input.fleet, clusters, notes: [] };
    this.waits = new Waits({ status: this.status, changes: this.changes, show: () => this.show() });
    this.setHandlers();
  }

  private setHandlers(): void {
    setHandler(fleetStatusQuery, () => withApiVersion(this.status), {
      description: 'State of every cluster, and the current wait',
    });
    setHandler(clusterProgressSignal, ({ cluster, ...progress }) => {
      const entry = this.find(cluster);
      if (entry?.state === 'migrating') entry.progress = progress;
      this.show();
    });
    setMessageHandlers<FleetMessageName, FleetMessage, FleetMessageContext>({
      names: fleetMessageNames,
      context: () => ({ control: this.control, status: this.status }),
      parse: parseFleetMessage,
      apply: applyFleetMessage,
      onAccepted: () => this.recordChange(),
      note: (text) => this.note(text),
    });
  }

  /**
   * Migrates all clusters.
   * @returns the final state of each cluster.
   */
  async run(): Promise<FleetStatus> {
    try {
      for (;;) {
        for (let next = this.nextCluster(); next !== undefined; next = this.nextCluster()) this.startMigration(next);
        if (this.isOver) break;
        await this.waitForChange();
      }
    } catch (error) {
      // On cancellation, each cluster restores its nodes in progress.
      await CancellationScope.nonCancellable(() => Promise.all(this.active.values()));
      throw error;
    }
    this.waits.stop(undefined);
    if (this.control.aborted === undefined) return this.status;
    const migrated = this.clustersIn('migrated').length;
    throw ApplicationFailure.nonRetryable(
      `aborted by ${this.control.aborted.by}; ${migrated} of ${this.status.clusters.length} clusters are migrated. Start the fleet again to continue`,
      'Aborted'
    );
  }

  private clustersIn(...states: string[]): FleetCluster[] {
    return this.status.clusters.filter(({ state }) => states.includes(state));
  }

  private find(cluster: string): FleetCluster | undefined {
    return this.status.clusters.find((entry) => entry.cluster === cluster);
  }

  private get isOver(): boolean {
    if (this.active.size > 0) return false;
    return this.control.aborted !== undefined || this.clustersIn('pending', 'failed', 'rolled-back').length === 0;
  }

  /** Canary clusters that are not finished: they run one by one, and the others wait for their results. */
  private get remainingCanaries(): FleetCluster[] {
    return this.status.clusters.filter(({ canary, state }) => canary && state !== 'migrated' && state !== 'skipped');
  }

  /** Clusters that may start once they are approved. */
  private get candidates(): FleetCluster[] {
    const { input, status } = this;
    if (status.paused !== undefined || this.control.aborted !== undefined) return [];
    const failed = this.clustersIn('failed', 'rolled-back');
    if (failed.length > 0 && (input.onFailure === 'stop' || failed.some(({ canary }) => canary))) return [];
    const [canary] = this.remainingCanaries;
    if (canary !== undefined) return this.active.size === 0 && canary.state === 'pending' ? [canary] : [];
    if (this.remainingSoakMs > 0 || this.active.size >= input.maxConcurrency) return [];
    return this.clustersIn('pending');
  }

  /** Remaining soak time after the last canary, in ms. */
  private get remainingSoakMs(): number {
    const canaryEndTimes = this.status.clusters.flatMap(({ canary, state, endedAt }) =>
      canary && state === 'migrated' && endedAt !== undefined ? [Date.parse(endedAt)] : []
    );
    if (canaryEndTimes.length === 0 || this.remainingCanaries.length > 0 || this.clustersIn('pending').length === 0)
      return 0;
    return Math.max(0, Math.max(...canaryEndTimes) + this.input.soakSeconds * 1_000 - Date.now());
  }

  private nextCluster(): FleetCluster | undefined {
    return this.candidates.find((entry) => entry.approval !== undefined || !this.needsApproval(entry));
  }

  private needsApproval({ canary }: FleetCluster): boolean {
    const mode = this.input.approval;
    return mode === 'every-cluster' || (mode === 'canary-only' && canary);
  }

  private startMigration(cluster: FleetCluster): void {
    const migration = this.input.clusters.find((entry) => entry.cluster === cluster.cluster);
    if (migration === undefined) return;
    cluster.state = 'migrating';
    cluster.startedAt = new Date().toISOString();
    delete cluster.endedAt;
    delete cluster.failure;
    const run = this.migrate(cluster, migration).finally(() => {
      cluster.endedAt = new Date().toISOString();
      delete cluster.progress;
      this.active.delete(cluster.cluster);
      this.recordChange();
    });
    this.active.set(cluster.cluster, run);
    this.show();
  }

  /** Migrates a cluster. Never throws: the result is in the cluster's status. */
  private async migrate(cluster: FleetCluster, migration: MigrationInput): Promise<void> {
    try {
      const report: MigrationReport = await executeChild<typeof clusterMigration>('clusterMigration', {
        workflowId: cluster.workflowId,
        args: [migration],
        // When the fleet is terminated, its clusters' migrations continue under their operators.
        parentClosePolicy: ParentClosePolicy.ABANDON,
        staticSummary: `${cluster.cluster}: Canal to Cilium`,
        typedSearchAttributes: [{ key: searchAttributes.cluster, value: cluster.cluster }],
      });
      cluster.state = report.phase === 'rolled-back' ? 'rolled-back' : 'migrated';
    } catch (error) {
      cluster.state = 'failed';
      cluster.failure = describeFailure(error, cluster);
    }
  }

  /** Waits for a message, for the end of a migration, or for the end of the soak. */
  private async waitForChange(): Promise<void> {
    const wait = this.currentWait;
    if (wait !== undefined) {
      // The end of the soak may let clusters start during any other wait.
      const timeoutMs = this.remainingSoakMs > 0 ? this.remainingSoakMs : undefined;
      await this.waits.wait({ ...wait, timeoutMs }, () => false);
      return;
    }
    this.waits.stop(undefined);
    await condition(this.changes.watch());
  }

  /** The wait to show; undefined while migrations run and nothing else is needed. */
  private get currentWait(): Wait | undefined {
    const { status, control, remainingSoakMs } = this;
    const { reminderSeconds } = this.input;
    if (control.aborted !== undefined) return undefined;
    if (status.paused !== undefined) {
      const answers = [{ does: 'resume', message: 'resume', input: {} }];
      return { what: `resume (paused by ${status.paused.by})`, answers, reminderSeconds };
    }
    const failed = this.clustersIn('failed', 'rolled-back').map(({ cluster }) => cluster);
    if (failed.length > 0) {
      const answers = failed.flatMap((cluster) => [
        { does: `retry ${cluster}`, message: 'retry', input: { cluster } },
        { does: `skip ${cluster}`, message: 'skip', input: { cluster } },
      ]);
      return { what: `a decision about ${failed.join(', ')}`, answers, reminderSeconds };
    }
    const unapproved = this.candidates
      .filter((entry) => entry.approval === undefined && this.needsApproval(entry))
      .map(({ cluster }) => cluster);
    if (unapproved.length > 0) {
      const answers = unapproved.map((cluster) => {
        return { does: `approve ${cluster}`, message: 'approve', input: { cluster } };
      });
      return { what: `approval of ${unapproved.join(', ')}`, answers, reminderSeconds };
    }
    if (remainingSoakMs === 0) return undefined;
    const until = new Date(Date.now() + remainingSoakMs).toISOString();
    return { what: `the end of the soak of the canaries at ${until}`, reminderSeconds };
  }

  private note(text: string): void {
    this.status.notes = appendNote(this.status.notes, text);
    this.show();
  }

  private recordChange(): void {
    this.changes.record();
    this.show();
  }

  private show(): void {
    setCurrentDetails(fleetMarkdown(this.status));
  }
}

function describeFailure(error: unknown, { workflowId }: FleetCluster): { type: string; message: string } {
  if (error instanceof WorkflowExecutionAlreadyStartedError) {
    const message = `the workflow ${workflowId} is already open: wait until it ends, then retry the cluster`;
    return { type: 'MigrationRunning', message };
  }
  if (isCancellation(error)) return { type: 'Aborted', message: 'the migration was cancelled' };
  return failureSummary(error);
}
