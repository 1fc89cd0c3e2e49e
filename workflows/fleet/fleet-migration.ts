import {
  ApplicationFailure,
  CancellationScope,
  ParentClosePolicy,
  allHandlersFinished,
  condition,
  defineSignal,
  defineUpdate,
  executeChild,
  isCancellation,
  log,
  setCurrentDetails,
  setHandler,
} from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import type { clusterMigration } from '../cluster/cluster-migration.ts';
import { clusterProgressSignal, fleetStatusQuery, migrationWorkflowId } from '../messages.ts';
import { applyFleetMessage, type FleetDecisions } from '../../model/fleet-decisions.ts';
import { parseFleet, type FleetInput } from '../../model/fleet-input.ts';
import { fleetMessageNames, parseFleetMessage, type FleetMessageName } from '../../model/fleet-messages.ts';
import type { FleetCluster, FleetStatus } from '../../model/fleet-status.ts';
import { fleetMarkdown } from '../../model/markdown/fleet-status.ts';
import type { MigrationInput } from '../../model/input.ts';
import { maxNotes, type MigrationReport } from '../../model/status.ts';
import { failureSummary, operatorFailure } from '../support/operator-failure.ts';
import { searchAttributes } from '../search-attributes.ts';

/**
 * Migrates many clusters in order, each with its own {@link clusterMigration}: canary clusters first, one by one, then
 * several in parallel. A cluster may need an approval to start, and a failure prevents the start of the others.
 *
 * @param raw a FleetRequest; validated with the input of every cluster before anything else.
 * @throws ApplicationFailure InvalidInput, or Aborted once the running migrations have ended.
 */
export async function fleetMigration(raw: unknown): Promise<FleetStatus> {
  const parsed = parseFleet(raw);
  if ('problems' in parsed) {
    throw ApplicationFailure.nonRetryable(`the input is no fleet:\n${parsed.problems.join('\n')}`, 'InvalidInput');
  }
  try {
    // No await before this line: the handlers must exist when the first message arrives.
    const status = await new Fleet(parsed.input).run();
    await condition(allHandlersFinished);
    return status;
  } catch (error) {
    throw operatorFailure(error);
  }
}

class Fleet {
  private readonly input: FleetInput;
  readonly status: FleetStatus;
  readonly control: FleetDecisions = {};
  /** Number of changes: a wait ends when it changes, so that its caller checks again. */
  private version = 0;
  private readonly active = new Map<string, Promise<void>>();

  constructor(input: FleetInput) {
    this.input = input;
    const clusters = input.clusters.map(({ cluster }, index): FleetCluster => {
      const workflowId = migrationWorkflowId(cluster);
      return { cluster, canary: index < input.canaryClusters, state: 'pending', workflowId };
    });
    this.status = { fleet: input.fleet, clusters, answers: [], notes: [] };
    setHandler(fleetStatusQuery, () => this.status, { description: 'Where every cluster of the fleet is' });
    setHandler(clusterProgressSignal, ({ cluster, ...progress }) => {
      const entry = this.find(cluster);
      if (entry?.state === 'migrating') entry.progress = progress;
      this.show();
    });
    for (const name of fleetMessageNames) this.setMessageHandlers(name);
  }

  private setMessageHandlers(name: FleetMessageName): void {
    setHandler(defineSignal<[unknown]>(name), (raw) => {
      const outcome = this.applyMessage(name, raw);
      if ('problem' in outcome) this.note(`${name} was ignored: ${outcome.problem}`);
    });
    setHandler(defineUpdate<string, [unknown]>(name), (raw) => {
      const outcome = this.applyMessage(name, raw);
      if ('problem' in outcome) throw ApplicationFailure.nonRetryable(outcome.problem, 'InvalidInput');
      return outcome.done;
    });
  }

  /**
   * Migrates all clusters.
   * @returns the final state of each cluster.
   */
  async run(): Promise<FleetStatus> {
    try {
      for (;;) {
        const seenVersion = this.version;
        for (let next = this.nextCluster(); next !== undefined; next = this.nextCluster()) this.startMigration(next);
        if (this.isOver) break;
        this.showWait();
        await this.waitForChange(seenVersion);
      }
    } catch (error) {
      // On cancellation, each cluster restores its nodes in progress.
      await CancellationScope.nonCancellable(() => Promise.all(this.active.values()));
      throw error;
    }
    this.showWait();
    if (this.control.aborted === undefined) return this.status;
    const migrated = this.clustersIn('migrated').length;
    throw ApplicationFailure.nonRetryable(
      `aborted by ${this.control.aborted.by}; ${migrated} of ${this.status.clusters.length} clusters are migrated. Start again to go on`,
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
      this.changed();
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

  private async waitForChange(seenVersion: number): Promise<void> {
    const reminderMs = this.input.reminderSeconds * 1_000;
    for (;;) {
      const { remainingSoakMs: soakMs } = this;
      const ms = soakMs > 0 ? Math.min(soakMs, reminderMs) : reminderMs;
      if (await condition(() => this.version !== seenVersion, ms)) return;
      if (soakMs > 0 && this.remainingSoakMs === 0) return;
      if (this.status.waitingFor !== undefined) log.warn(`still waiting for ${this.status.waitingFor}`);
    }
  }

  private showWait(): void {
    const { status } = this;
    delete status.waitingFor;
    status.answers = [];
    const failed = this.clustersIn('failed', 'rolled-back');
    const unapproved = this.candidates.filter((entry) => entry.approval === undefined && this.needsApproval(entry));
    if (this.control.aborted === undefined && !this.isOver) {
      if (status.paused !== undefined) {
        status.waitingFor = `resume (paused by ${status.paused.by})`;
        status.answers = [{ does: 'resume', message: 'resume', input: {} }];
      } else if (failed.length > 0) {
        status.waitingFor = `a decision about ${failed.map(({ cluster }) => cluster).join(', ')}`;
        status.answers = failed.flatMap(({ cluster }) => [
          { does: `retry ${cluster}`, message: 'retry', input: { cluster } },
          { does: `skip ${cluster}`, message: 'skip', input: { cluster } },
        ]);
      } else if (unapproved.length > 0) {
        status.waitingFor = `approval of ${unapproved.map(({ cluster }) => cluster).join(', ')}`;
        status.answers = unapproved.map(({ cluster }) => {
          return { does: `approve ${cluster}`, message: 'approve', input: { cluster } };
        });
      } else if (this.remainingSoakMs > 0) {
        const until = new Date(Date.now() + this.remainingSoakMs).toISOString();
        status.waitingFor = `the canaries to soak until ${until}`;
      }
    }
    this.show();
  }

  private applyMessage(name: FleetMessageName, raw: unknown): { problem: string } | { done: string } {
    const parsed = parseFleetMessage(name, raw);
    if ('problem' in parsed) return parsed;
    const outcome = applyFleetMessage(name, parsed.message, this, new Date().toISOString());
    if ('done' in outcome) this.changed();
    return outcome;
  }

  private note(text: string): void {
    this.status.notes = [...this.status.notes, text].slice(-maxNotes);
    this.show();
  }

  private changed(): void {
    this.version++;
    this.show();
  }

  private show(): void {
    setCurrentDetails(fleetMarkdown(this.status));
  }
}

function describeFailure(error: unknown, { workflowId }: FleetCluster): { type: string; message: string } {
  if (error instanceof WorkflowExecutionAlreadyStartedError) {
    const message = `the workflow ${workflowId} is open already: wait for its end, then retry the cluster`;
    return { type: 'MigrationRunning', message };
  }
  if (isCancellation(error)) return { type: 'Aborted', message: 'it was cancelled' };
  return failureSummary(error);
}
