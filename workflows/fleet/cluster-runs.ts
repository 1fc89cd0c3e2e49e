import {
  CancellationScope,
  ParentClosePolicy,
  condition,
  getExternalWorkflowHandle,
  isCancellation,
  scheduleActivity,
  setHandler,
  startChild,
} from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import type { clusterMigration } from '../cluster/cluster-migration.ts';
import type { FleetActivities } from '../../activities/cluster/migration-outcomes.ts';
import {
  describeFailure,
  describeResult,
  type MigrationOutcome,
  type MigrationRun,
} from '../../model/fleet-outcome.ts';
import { clustersIn } from '../../model/fleet-schedule.ts';
import { clusterInputs, type FleetState } from '../../model/fleet-state.ts';
import type { ClusterProgress, FleetCluster } from '../../model/fleet-status.ts';
import type { MigrationInput } from '../../model/input.ts';
import { clusterProgressSignal } from '../messages.ts';
import { searchAttributes } from '../search-attributes.ts';
import type { FleetBoard } from './board.ts';

/** Shortest and longest time between two checks of migrations that an earlier run has started, in ms. */
const minCheckMs = 2_000;
const maxCheckMs = 600_000;

/**
 * Migrations of a fleet's clusters: starts them, and learns of their ends.
 *
 * Temporal reports the end of a child only to the run that started it. The migrations that an earlier run of the fleet
 * started are detached: an activity asks Temporal for their outcome, soon after a migration reports that it ends, and
 * rarely otherwise, because a migration that was terminated reports nothing.
 */
export class ClusterRuns {
  private readonly state: FleetState;
  private readonly board: FleetBoard;
  private readonly inputs: Map<string, MigrationInput>;
  /** Clusters whose end Temporal reports to this run. */
  private readonly attached = new Set<string>();
  /** Clusters whose migration is requested but not yet started. */
  private readonly starting = new Set<string>();
  private nextCheckMs = 0;
  private checkIntervalMs = minCheckMs;
  /** Problems of the last check, so that each is noted once. */
  private problems: readonly string[] = [];

  constructor(state: FleetState, board: FleetBoard) {
    this.state = state;
    this.board = board;
    this.inputs = clusterInputs(state);
    // The last statement: it delivers the reports that came before the workflow had this handler.
    setHandler(clusterProgressSignal, (progress) => this.onProgress(progress));
  }

  /** True while the ID of a started run is not known. */
  get isStarting(): boolean {
    return this.starting.size > 0;
  }

  /** Starts the migration of a cluster. Its outcome appears in the cluster's status. */
  start(cluster: FleetCluster): void {
    const input = this.inputs.get(cluster.cluster);
    if (input === undefined) throw new Error(`the fleet has no input of the cluster ${cluster.cluster}`);
    cluster.state = 'migrating';
    cluster.startedAt = new Date().toISOString();
    for (const field of ['runId', 'endedAt', 'failure', 'progress'] as const) delete cluster[field];
    this.attached.add(cluster.cluster);
    this.starting.add(cluster.cluster);
    void this.migrate(cluster, input);
    this.board.show();
  }

  /** Never throws: the outcome is in the cluster's status. */
  private async migrate(cluster: FleetCluster, input: MigrationInput): Promise<void> {
    // cancelAll() cancels every migration in the same way, attached or not.
    const outcome = await CancellationScope.nonCancellable(() => this.runChild(cluster, input)).catch(
      (error: unknown) => describeChildFailure(error, cluster)
    );
    this.starting.delete(cluster.cluster);
    this.attached.delete(cluster.cluster);
    this.applyOutcome(cluster, outcome);
  }

  private async runChild(cluster: FleetCluster, input: MigrationInput): Promise<MigrationOutcome> {
    const child = await startChild<typeof clusterMigration>('clusterMigration', {
      workflowId: cluster.workflowId,
      args: [input],
      // When the fleet is terminated, its clusters' migrations continue under their operators.
      parentClosePolicy: ParentClosePolicy.ABANDON,
      staticSummary: `${cluster.cluster}: Canal to Cilium`,
      typedSearchAttributes: [{ key: searchAttributes.cluster, value: cluster.cluster }],
    });
    cluster.runId = child.firstExecutionRunId;
    this.starting.delete(cluster.cluster);
    this.board.recordChange();
    return describeResult(await child.result());
  }

  private applyOutcome(cluster: FleetCluster, outcome: MigrationOutcome): void {
    if (outcome.state === 'open' || outcome.state === 'unknown') return;
    cluster.state = outcome.state;
    cluster.endedAt = new Date().toISOString();
    delete cluster.progress;
    if (outcome.state === 'failed') cluster.failure = outcome.failure;
    const { soakSeconds } = this.state.options;
    if (outcome.state === 'migrated' && cluster.canary && soakSeconds > 0)
      this.state.status.soakUntil = new Date(Date.now() + soakSeconds * 1_000).toISOString();
    this.board.recordChange();
  }

  /** Records the progress of a migration. The last report of a detached migration is a reason to check it. */
  private onProgress({ cluster: name, ended, ...progress }: ClusterProgress): void {
    const cluster = this.state.status.clusters.find(({ cluster }) => cluster === name);
    if (cluster?.state !== 'migrating') return;
    cluster.progress = progress;
    this.board.show();
    if (ended !== true || this.attached.has(name)) return;
    this.checkIntervalMs = minCheckMs;
    this.nextCheckMs = 0;
    this.board.recordChange();
  }

  /** Requests the cancellation of all running migrations: each restores its nodes in progress. */
  async cancelAll(): Promise<void> {
    // A migration cannot be cancelled before it is started.
    await condition(() => !this.isStarting);
    const running = clustersIn(this.state.status, 'migrating');
    await Promise.all(
      running.map(async ({ workflowId }) => {
        // A migration that has ended meanwhile cannot be cancelled.
        await getExternalWorkflowHandle(workflowId)
          .cancel()
          .catch(() => undefined);
      })
    );
    this.nextCheckMs = 0;
  }

  /** Time until the next check of detached migrations, in ms; undefined when there is none. */
  get remainingCheckMs(): number | undefined {
    return this.detached.length === 0 ? undefined : Math.max(0, this.nextCheckMs - Date.now());
  }

  /** Asks Temporal for the outcome of detached migrations, when it is time. */
  async checkIfDue(): Promise<void> {
    if (this.remainingCheckMs !== 0) return;
    const clusters = this.detached;
    const outcomes = await readOutcomes(clusters.map(({ workflowId, runId = '' }) => ({ workflowId, runId })));
    this.nextCheckMs = Date.now() + this.checkIntervalMs;
    this.checkIntervalMs = Math.min(maxCheckMs, 2 * this.checkIntervalMs);
    this.noteProblems(clusters, outcomes);
    for (const [index, cluster] of clusters.entries()) {
      const outcome = outcomes[index];
      if (outcome !== undefined) this.applyOutcome(cluster, outcome);
    }
  }

  /** Migrations whose end Temporal reports to an earlier run. */
  private get detached(): FleetCluster[] {
    return clustersIn(this.state.status, 'migrating').filter(({ cluster }) => !this.attached.has(cluster));
  }

  private noteProblems(clusters: readonly FleetCluster[], outcomes: readonly MigrationOutcome[]): void {
    const problems = outcomes.flatMap((outcome, index) =>
      outcome.state === 'unknown' ? [`${clusters[index]?.cluster ?? ''}: ${outcome.problem}`] : []
    );
    for (const problem of problems)
      if (!this.problems.includes(problem)) this.board.note(`cannot read the outcome of ${problem}`);
    this.problems = problems;
  }
}

/** Returns the outcomes, in order. Does not wait for long, because the fleet handles nothing else meanwhile. */
async function readOutcomes(runs: MigrationRun[]): Promise<MigrationOutcome[]> {
  try {
    return await scheduleActivity<Awaited<ReturnType<FleetActivities['readMigrationOutcomes']>>>(
      'readMigrationOutcomes' satisfies keyof FleetActivities,
      [{ runs }],
      {
        startToCloseTimeout: '30 seconds',
        retry: { maximumAttempts: 3 },
        summary: `read the outcomes of ${runs.length} migrations`,
      }
    );
  } catch (error) {
    if (isCancellation(error)) throw error;
    const problem = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
    return runs.map(() => ({ state: 'unknown', problem }));
  }
}

function describeChildFailure(error: unknown, run: Pick<MigrationRun, 'workflowId'>): MigrationOutcome {
  if (error instanceof WorkflowExecutionAlreadyStartedError) {
    const message = `the workflow ${run.workflowId} is already open: wait until it ends, then retry the cluster`;
    return { state: 'failed', failure: { type: 'MigrationRunning', message } };
  }
  return describeFailure(error, run);
}
