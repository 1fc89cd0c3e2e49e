import { allHandlersFinished, condition, continueAsNew, workflowInfo } from '@temporalio/workflow';
import type { Versioned } from '../../model/api-version.ts';
import { jsonBytes } from '../../model/byte-budget.ts';
import { carryState, maxCarriedBytes } from '../../model/carried-state.ts';
import type { MessageName, Messages } from '../../model/message-schemas.ts';
import { initialState, type MigrationState } from '../../model/migration-state.ts';
import type { MigrationInput } from '../../model/input.ts';
import { transition, type NodeEvent } from '../../model/node-transitions.ts';
import type { Releases } from '../../model/resolved-request.ts';
import {
  appendNote,
  type MigrationReport,
  type MigrationStatus,
  type NodeStatus,
  type Phase,
} from '../../model/status.ts';
import { findStepWait } from '../../model/step-answers.ts';
import type { Wait } from '../../model/wait.ts';
import { Steps } from '../support/steps.ts';
import { VisibleWaits, type WaitEnd } from '../support/until.ts';
import { Board } from './board.ts';

/** Type of the workflow that continues as new: clusterMigration in cluster-migration.ts. */
type ClusterMigrationWorkflow = (request: unknown, carried?: unknown) => Promise<Versioned<MigrationReport>>;

/** Called with each accepted message, after its decision is recorded. */
type Listener = (name: MessageName, message: Messages[MessageName]) => void;

/** A cluster's migration in progress: its state, and what every phase uses to act, wait and show. */
export class Migration {
  readonly state: MigrationState;
  readonly steps: Steps;
  readonly waits: VisibleWaits;
  readonly listeners: Listener[] = [];
  readonly board: Board;
  private readonly historyLimit: number;
  private request: unknown;
  /** Length of the history at which the run tries to continue as new again, after its state was too large. */
  private nextAttemptLength = 0;

  constructor(carried: MigrationState | undefined, historyLimit: number) {
    this.state = carried ?? initialState();
    this.historyLimit = historyLimit;
    this.board = new Board(this.state);
    this.steps = new Steps({
      onChange: () => this.publish(),
      failsAtBound: () => this.failsAtBound,
      reminderSeconds: () => this.reminderSeconds,
      onReminder: ({ step }) => this.remind(step),
    });
    this.listeners.push((name, message) => this.answerSteps(name, message));
    this.waits = new VisibleWaits({
      status: this.status,
      reminderSeconds: () => this.reminderSeconds,
      isLong: () => this.isLong,
      publish: () => this.publish(),
    });
  }

  get status(): MigrationStatus {
    return this.state.status;
  }

  get input(): MigrationInput {
    return this.resolved.input;
  }

  /** Helm values and expected configurations, as approved. */
  get releases(): Releases {
    return this.resolved.releases;
  }

  get cluster(): string {
    return this.input.cluster;
  }

  private get resolved() {
    const { request } = this.state;
    if (request === undefined) throw new Error('the request is not resolved yet');
    return request;
  }

  /** Runs an activity; see {@link Steps.run}. */
  get run(): Steps['run'] {
    return this.steps.run.bind(this.steps);
  }

  /** Runs an activity that the migration can do without; see {@link Steps.runSkippable}. */
  get runSkippable(): Steps['runSkippable'] {
    return this.steps.runSkippable.bind(this.steps);
  }

  /** Runs a step unless this run or an earlier one has done it. */
  async once(step: string, work: () => Promise<unknown>): Promise<void> {
    const { doneSteps } = this.state;
    if (doneSteps.includes(step)) return;
    await work();
    doneSteps.push(step);
  }

  /** Waits until a predicate holds; see {@link VisibleWaits.until}. */
  until(describe: () => Wait, predicate: () => boolean): Promise<WaitEnd> {
    return this.waits.until(describe, predicate);
  }

  /** Starts a phase. Has no effect when it is the current one. */
  enter(phase: Phase): void {
    const { timeline } = this.status;
    if (timeline.length > 0 && phase === this.status.phase) return;
    const now = new Date();
    const current = timeline.at(-1);
    if (current !== undefined) current.seconds = (now.getTime() - Date.parse(current.startedAt)) / 1_000;
    this.status.phase = phase;
    timeline.push({ phase, startedAt: now.toISOString() });
    this.publish();
  }

  /** Start of the current phase (Unix ms), in the run that entered it. */
  get phaseStartMs(): number {
    return Date.parse(this.status.timeline.at(-1)?.startedAt ?? '');
  }

  /** Adds a note to the status, and publishes it. */
  note(text: string): void {
    this.record(text);
    this.publish();
  }

  /** Adds a note to the status. For many changes at once: call {@link publish} after them. */
  record(text: string): void {
    this.status.notes = appendNote(this.status.notes, text);
  }

  /** Pauses the migration, until an operator resumes it. */
  pauseFor(reason: string): void {
    this.status.paused = { by: 'cni-live-migration', reason, at: new Date().toISOString() };
    this.note(`paused: ${reason}`);
  }

  /** Pauses the migration. A pause by an operator stays, and the reason is noted. */
  pauseOrNote(reason: string): void {
    if (this.status.paused === undefined) this.pauseFor(reason);
    else this.note(reason);
  }

  /**
   * Waits while the migration is paused.
   * @param isOver returns true when the wait must end although the migration is paused.
   */
  async waitUntilResumed(isOver: () => boolean = () => this.status.paused === undefined): Promise<void> {
    const { paused } = this.status;
    if (paused === undefined) return;
    const answers = [{ does: 'resume', message: 'resume', input: {} }, ...this.interruptions];
    const wait: Wait = { kind: 'resume', key: paused.at, subject: paused.by, answers };
    await this.until(() => wait, isOver);
  }

  /** Publishes the state: what it waits for, its details and search attributes. */
  publish(): void {
    const { repeated } = this.steps;
    if (repeated.length > 0) this.status.repeatedSteps = repeated;
    else delete this.status.repeatedSteps;
    this.waits.show(findStepWait(this.status, this.interruptions));
    this.board.publish();
  }

  /** True when a step without an attempt left ends the run, as its operator wants it, instead of asking. */
  private get failsAtBound(): boolean {
    const input = this.state.request?.input;
    return input?.dryRun === true || input?.onFailure === 'stop';
  }

  private get reminderSeconds(): number {
    return this.state.request?.input.reminderSeconds ?? defaultReminderSeconds;
  }

  private remind(step: string): void {
    const { waiting } = this.status;
    if (waiting?.key === step) waiting.reminders++;
    this.publish();
  }

  /** Answers the questions about steps that an accepted message names. */
  private answerSteps(name: MessageName, message: Messages[MessageName]): void {
    if (name !== 'retry' && name !== 'skip') return;
    const { step, all } = message as Messages['retry'];
    if (step === undefined && all !== true) return;
    if (name === 'skip') this.record(`the step "${step}" was skipped by ${message.by ?? 'unnamed'}`);
    this.steps.answer(step, name);
  }

  /** Messages that end the migration as it is now. */
  get interruptions(): Wait['answers'] {
    const { phase, pointOfNoReturn } = this.status;
    if (pointOfNoReturn !== undefined || phase === 'rolling-back') return [];
    const abort = { does: 'abort the migration', message: 'abort', input: {} };
    const isChanged = (phase !== 'preflight' && phase !== 'plan') || this.state.rollbackBegun !== undefined;
    return isChanged
      ? [abort, { does: 'roll back all nodes to Canal', message: 'rollback', input: { all: true } }]
      : [abort];
  }

  node(name: string): NodeStatus | undefined {
    return this.status.nodes.find((node) => node.name === name);
  }

  /** Applies an event to a node, and publishes the state. */
  nodeEvent(node: NodeStatus, event: NodeEvent): boolean {
    const changed = transition(node, event);
    if (changed) this.publish();
    return changed;
  }

  /**
   * True when an operator requested an abort, rejected the plan or the cleanup, or requested a rollback of all nodes that
   * has not begun; in a rollback of all nodes, when an operator requested its abort.
   */
  get isInterrupted(): boolean {
    const { aborted, rejected, rollbackAll } = this.state.decisions;
    const { phase, pointOfNoReturn } = this.status;
    if (pointOfNoReturn !== undefined) return false;
    // An abort of the rollback, while it waits for a maintenance window.
    if (phase === 'rolling-back') return aborted !== undefined && rollbackAll === undefined;
    return aborted !== undefined || rejected !== undefined || rollbackAll !== undefined;
  }

  /** Refuses messages from now on: they would have no effect. */
  refuseMessages(reason: string): void {
    this.state.decisions.refusal ??= reason;
  }

  /** True when Canal and everything of this service is already removed. */
  get isNothingLeft(): boolean {
    return this.state.source === undefined && this.status.pointOfNoReturn === undefined;
  }

  /** True when the history is so long that the run must continue as new at the next step between two phases. */
  get isLong(): boolean {
    const { continueAsNewSuggested, historyLength } = workflowInfo();
    if (historyLength < this.nextAttemptLength) return false;
    return continueAsNewSuggested || historyLength >= this.historyLimit;
  }

  /** Keeps what the workflow was started with, for the next run. */
  keepRequest(request: unknown): void {
    this.request = request;
  }

  /**
   * Continues as new with the whole state. Returns only when the state is too large for the input of a run: the server
   * would terminate this run. The migration is paused then, and a later call tries again.
   */
  async continueAsNew(): Promise<void> {
    await this.board.flush();
    await condition(allHandlersFinished);
    const carried = carryState(this.state, maxStateBytes() - jsonBytes(this.request));
    if ('state' in carried) await continueAsNew<ClusterMigrationWorkflow>(this.request, carried.state);
    this.nextAttemptLength = workflowInfo().historyLength + this.historyLimit;
    this.pauseOrNote(
      `the history of this run is long, and its state of ${carried.bytes} bytes is too large for the next run. Resume to ` +
        'continue in this run for as long again. Or abort it, where that is still possible, and start the migration again: ' +
        'it continues from the state of the cluster, without the approvals that were given in advance'
    );
  }
}

/** Returns the limit of the carried state in bytes: tests set a lower one in the memo. */
function maxStateBytes(): number {
  const limit = workflowInfo().memo?.['stateLimit'];
  return typeof limit === 'number' && limit > 0 ? limit : maxCarriedBytes;
}

/** Seconds between reminders before the request is resolved. */
const defaultReminderSeconds = 86_400;
