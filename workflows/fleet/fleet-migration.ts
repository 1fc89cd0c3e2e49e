import {
  ApplicationFailure,
  CancellationScope,
  CancelledFailure,
  allHandlersFinished,
  condition,
  continueAsNew,
  isCancellation,
  workflowInfo,
} from '@temporalio/workflow';
import { migrationWorkflowId } from '../messages.ts';
import { withApiVersion, type Versioned } from '../../model/api-version.ts';
import { parseFleet } from '../../model/fleet-input.ts';
import { isEnding, isOver, nextCluster, clustersIn, remainingSoakMs } from '../../model/fleet-schedule.ts';
import { createFleetState, isFleetState, parseFleetState, type FleetState } from '../../model/fleet-state.ts';
import type { FleetCluster, FleetStatus } from '../../model/fleet-status.ts';
import { ClusterRuns } from './cluster-runs.ts';
import { FleetBoard } from './board.ts';

/**
 * Migrates many clusters in order, each with its own `clusterMigration`: canary clusters first, one by one, then several
 * in parallel. A cluster may need an approval to start, and a failure prevents the start of the others.
 *
 * The first run only validates the input, and continues as new with the resolved input: later builds, with other
 * defaults or rules, execute what was started.
 *
 * @param raw a FleetRequest; validated with the input of every cluster before anything else. After continue-as-new, the
 * {@link FleetState} of the previous run, which is refused otherwise.
 * @throws ApplicationFailure InvalidInput, or Aborted once the running migrations have ended.
 */
export async function fleetMigration(raw: unknown): Promise<Versioned<FleetStatus>> {
  // No await before the constructor: the handlers must exist when the first message arrives.
  const fleet = new Fleet(parseArgument(raw), { isResolved: isFleetState(raw) });
  const outcome = await fleet.run();
  // Also in a cancelled run, whose state must reach the next one.
  await CancellationScope.nonCancellable(() => condition(allHandlersFinished));
  if (outcome === 'long') return continueAsNew<typeof fleetMigration>(fleet.carry());
  return withApiVersion(fleet.finish());
}

/**
 * Parses the argument of a run.
 * @throws ApplicationFailure InvalidInput for an argument of an operator.
 * @throws Error for a state of the previous run that this build does not know. It fails the workflow task, which a
 * worker with the right build completes later.
 */
function parseArgument(raw: unknown): FleetState {
  if (!isFleetState(raw)) {
    const parsed = parseFleet(raw);
    if ('problems' in parsed) throw invalidInput(parsed.problems);
    const created = createFleetState(parsed.input, migrationWorkflowId);
    if ('problems' in created) throw invalidInput(created.problems);
    return created.state;
  }
  if (workflowInfo().continuedFromExecutionRunId === undefined)
    throw invalidInput(['it is the state of a previous run, which only that run can pass on']);
  const parsed = parseFleetState(raw);
  if ('state' in parsed) return parsed.state;
  throw new Error(`this build cannot read the state of the previous run: ${parsed.problems.join('; ')}`);
}

function invalidInput(problems: readonly string[]): ApplicationFailure {
  return ApplicationFailure.nonRetryable(`the input is not a valid fleet:\n${problems.join('\n')}`, 'InvalidInput');
}

/** Reason why a run has nothing left to do: the fleet is over, or it continues as new. */
type RunOutcome = 'over' | 'long';

/** One run of a fleet. All that must survive it is in {@link state}. */
class Fleet {
  private readonly state: FleetState;
  private readonly isResolved: boolean;
  private readonly board: FleetBoard;
  private readonly runs: ClusterRuns;
  private cancellation: Error | undefined;

  /** @param isResolved false in the first run, whose input the next run receives resolved. */
  constructor(state: FleetState, { isResolved }: { isResolved: boolean }) {
    this.state = state;
    this.isResolved = isResolved;
    this.board = new FleetBoard(state);
    this.runs = new ClusterRuns(state, this.board);
  }

  /** Migrates clusters until the fleet is over, or until it must continue as new. */
  async run(): Promise<RunOutcome> {
    try {
      // The next run of a cancelled one is not cancelled in Temporal: the state says so.
      if (this.state.control.cancelledAt !== undefined) await this.runs.cancelAll();
      return await this.migrateClusters();
    } catch (error) {
      if (!isCancellation(error)) throw error;
      this.cancellation = error instanceof Error ? error : new CancelledFailure('the fleet was cancelled');
      this.state.control.cancelledAt ??= new Date().toISOString();
      return CancellationScope.nonCancellable(async () => {
        await this.runs.cancelAll();
        return this.migrateClusters();
      });
    }
  }

  private async migrateClusters(): Promise<RunOutcome> {
    for (;;) {
      if (isOver(this.state)) return 'over';
      if (this.mustContinueAsNew) return 'long';
      this.startClusters();
      await this.waitForChange();
      await this.runs.checkIfDue();
    }
  }

  private startClusters(): void {
    for (let next = this.nextCluster(); next !== undefined; next = this.nextCluster()) this.runs.start(next);
  }

  private nextCluster(): FleetCluster | undefined {
    return nextCluster(this.state, Date.now());
  }

  /** Waits for a message, the end of a migration, the end of the soak, or the time of a reminder or a check. */
  private async waitForChange(): Promise<void> {
    const hasNews = this.board.watch();
    const reminderMs = this.board.showWait();
    const soakMs = remainingSoakMs(this.state, Date.now());
    const timesMs = [reminderMs, this.runs.remainingCheckMs, soakMs > 0 ? soakMs : undefined];
    const timeoutMs = Math.min(...timesMs.filter((ms) => ms !== undefined));
    const mustWake = (): boolean => hasNews() || this.mustContinueAsNew;
    if (timeoutMs === Infinity) await condition(mustWake);
    else if (timeoutMs > 0) await condition(mustWake, timeoutMs, { summary: 'wait for messages and migrations' });
    this.board.remindIfDue();
  }

  /** True when the history is long, and the IDs of all started runs are known. */
  private get mustContinueAsNew(): boolean {
    if (this.runs.isStarting) return false;
    const { continueAsNewSuggested, historyLength } = workflowInfo();
    return !this.isResolved || continueAsNewSuggested || historyLength >= this.state.historyLimit;
  }

  /** Returns the state for the next run. A cancellation that came while this run ended is part of it. */
  carry(): FleetState {
    if (CancellationScope.current().consideredCancelled) this.state.control.cancelledAt ??= new Date().toISOString();
    return this.state;
  }

  /**
   * Returns the final status of a fleet that is over.
   * @throws ApplicationFailure Aborted, or the cancellation.
   */
  finish(): FleetStatus {
    const { status, control } = this.state;
    this.board.clearWait();
    if (this.cancellation !== undefined) throw this.cancellation;
    if (!isEnding(control)) return status;
    const cause = control.aborted === undefined ? 'cancelled' : `aborted by ${control.aborted.by}`;
    const counts = `${clustersIn(status, 'migrated').length} of ${status.clusters.length} clusters are migrated`;
    throw ApplicationFailure.nonRetryable(`${cause}; ${counts}. Start the fleet again to continue`, 'Aborted');
  }
}
