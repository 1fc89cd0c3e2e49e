import {
  allHandlersFinished,
  condition,
  continueAsNew,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import { clusterProgressSignal, fleetPrefix, progressSignal } from '../messages.ts';
import { noDecisions, applyMessage, type Decisions, type MessageContext } from '../../model/decisions.ts';
import type { Versioned } from '../../model/api-version.ts';
import type { ClusterProgress } from '../../model/fleet-status.ts';
import type { Ledger } from '../../model/ledger.ts';
import { messageNames, parseMessage, type MessageName, type Messages } from '../../model/message-schemas.ts';
import type { Plan } from '../../model/plan.ts';
import type { PolicyReport } from '../../model/policies.ts';
import type { CheckOutcome } from '../../model/preflight.ts';
import {
  appendNote,
  phases,
  type MigrationReport,
  type MigrationStatus,
  type NodeProgress,
  type NodeStatus,
  type Phase,
} from '../../model/status.ts';
import { statusMarkdown } from '../../model/markdown/status.ts';
import { maxKeyword, searchAttributes } from '../search-attributes.ts';
import { Changes } from '../support/changes.ts';
import { setQueryHandlers } from './queries.ts';
import { setMessageHandlers } from '../support/message-handlers.ts';
import { ParentProgress } from '../support/parent-progress.ts';
import { Waits, type Wait, type WaitOutcome } from '../support/waits.ts';

/** Names of the nodes for which a step of the whole cluster is done, so that the next run skips them. */
export type DoneNodes = Record<'cutover' | 'clean canal' | 'clean cilium', string[]>;

/** State that a run carries over to the next with continue-as-new, when its history is long. */
export interface CarriedState {
  status?: MigrationStatus;
  control?: Decisions;
  preflight?: CheckOutcome[];
  policies?: PolicyReport;
  ledger?: Ledger;
  done?: DoneNodes;
  /**
   * Number of events after which a run continues as new, unless the server suggests it earlier.
   * @default 8000
   */
  historyLimit?: number;
}

/** Type of the workflow that continues as new: clusterMigration in cluster-migration.ts. */
type ClusterMigrationWorkflow = (raw: unknown, carried?: CarriedState) => Promise<Versioned<MigrationReport>>;

/** Default limit of the history: a server's own limits are 10,000 (warning) and 51,200 events. */
const defaultHistoryLimit = 8_000;

/** An operator aborted the migration or requested a rollback; thrown at the next step that can be interrupted. */
export class Interrupted extends Error {
  override name = 'Interrupted';
}

/**
 * State of a cluster's migration: its status, the decisions of operators, and the waits for them. Handlers only change
 * this state; the workflow reads it between steps.
 */
export class ClusterState {
  readonly status: MigrationStatus;
  readonly control: Decisions;
  /** Outcomes of the checks; undefined until they have run. */
  preflight: CheckOutcome[] | undefined;
  /** Result of the latest policy comparison. */
  policies: PolicyReport | undefined;
  plan: Plan | undefined;
  /** Measurements by stage. */
  ledger: Ledger;
  readonly done: DoneNodes;
  /** True while this run continues as new. */
  isContinuingAsNew = false;
  /** Raw input of the run. */
  request: unknown;
  /** Called with each accepted message, after its decision is recorded. */
  readonly listeners: ((name: MessageName, message: Messages[MessageName]) => void)[] = [];
  /** Accepted messages: each ends the current wait, so that its caller checks everything again. */
  private readonly changes = new Changes();
  private readonly waits: Waits;
  /** Last values of the search attributes. */
  private published: { cluster?: string; phase?: string; waitingFor?: string } = {};
  private readonly fleetProgress = new ParentProgress(clusterProgressSignal);
  private readonly historyLimit: number;

  constructor({ status, control, preflight, policies, ledger, done, historyLimit }: CarriedState) {
    this.status = status ?? {
      cluster: '',
      phase: 'preflight',
      maxConcurrency: 0,
      waves: 0,
      nodes: [],
      approvals: {},
      timeline: [],
      notes: [],
    };
    this.control = control ?? noDecisions();
    this.preflight = preflight;
    this.policies = policies;
    this.ledger = ledger ?? {};
    this.done = done ?? { cutover: [], 'clean canal': [], 'clean cilium': [] };
    this.historyLimit = historyLimit ?? defaultHistoryLimit;
    this.waits = new Waits({
      status: this.status,
      changes: this.changes,
      show: () => this.show(),
      mustEnd: () => this.isLong,
    });
    this.setHandlers();
  }

  private setHandlers(): void {
    setQueryHandlers(this);
    setHandler(progressSignal, (progress) => this.applyProgress(progress));
    setMessageHandlers<MessageName, Messages[MessageName], MessageContext>({
      names: messageNames,
      context: () => ({ control: this.control, status: this.status }),
      parse: parseMessage,
      apply: applyMessage,
      onAccepted: (name, message) => this.onAccepted(name, message),
      note: (text) => this.note(text),
    });
  }

  private onAccepted(name: MessageName, message: Messages[MessageName]): void {
    this.changes.record();
    for (const listener of this.listeners) listener(name, message);
    this.show();
  }

  private applyProgress({ node, blockers, waitingFor }: NodeProgress): void {
    const nodeStatus = this.node(node);
    if (nodeStatus === undefined) return;
    nodeStatus.blockers = blockers;
    if (waitingFor === undefined) delete nodeStatus.waitingFor;
    else nodeStatus.waitingFor = waitingFor;
    this.show();
  }

  node(name: string): NodeStatus | undefined {
    return this.status.nodes.find((node) => node.name === name);
  }

  note(text: string): void {
    this.status.notes = appendNote(this.status.notes, text);
    this.show();
  }

  /** Starts a phase. Has no effect when an earlier run has already reached or passed it. */
  enter(phase: Phase): void {
    const { timeline } = this.status;
    if (timeline.length > 0 && phases.indexOf(phase) <= phases.indexOf(this.status.phase)) return;
    const now = new Date();
    const current = timeline.at(-1);
    if (current !== undefined) current.seconds = (now.getTime() - new Date(current.startedAt).getTime()) / 1000;
    this.status.phase = phase;
    timeline.push({ phase, startedAt: now.toISOString() });
    this.show();
  }

  /** True when an operator requested an abort or a rollback. */
  get isInterrupted(): boolean {
    return this.control.aborted !== undefined || this.control.rollbackAll !== undefined;
  }

  /**
   * Waits while the migration is paused. Continues as new when the history is long.
   * @throws Interrupted
   */
  async checkpoint(reminderSeconds: number): Promise<void> {
    for (;;) {
      if (this.isInterrupted) throw new Interrupted();
      await this.continueAsNewIfLong();
      const { paused } = this.status;
      if (paused === undefined) return;
      await this.wait(
        {
          what: `resume (paused by ${paused.by})`,
          answers: [{ does: 'resume', message: 'resume', input: {} }],
          reminderSeconds,
        },
        () => this.status.paused === undefined
      );
    }
  }

  /** Continues as new when the history is long. Only for places after which the cluster is read first. */
  async continueAsNewIfLong(): Promise<void> {
    if (this.isLong) await this.startNextRun();
  }

  private get isLong(): boolean {
    const { continueAsNewSuggested, historyLength } = workflowInfo();
    return continueAsNewSuggested || historyLength >= this.historyLimit;
  }

  /** Continues as new: decisions are carried over, the rest is read from the cluster. */
  private async startNextRun(): Promise<void> {
    this.isContinuingAsNew = true;
    await condition(allHandlersFinished);
    const carried: CarriedState = {
      status: this.status,
      control: this.control,
      ledger: this.ledger,
      done: this.done,
      ...(this.preflight && { preflight: this.preflight }),
      ...(this.policies && { policies: this.policies }),
      historyLimit: this.historyLimit,
    };
    await continueAsNew<ClusterMigrationWorkflow>(this.request, carried);
  }

  /** Waits for a condition; see {@link Waits.wait}. Also returns early when the history is long. */
  wait(wait: Wait, holds: () => boolean): Promise<WaitOutcome> {
    return this.waits.wait(wait, holds);
  }

  /** Returns the remaining ms of a deadline of a wait; see {@link Waits.remainingMs}. */
  remainingMs(what: string, seconds: number | undefined): number | undefined {
    return this.waits.remainingMs(what, seconds);
  }

  /** Pauses the migration automatically, until an operator resumes it. */
  pauseFor(reason: string): void {
    this.status.paused = { by: 'cni-live-migration', reason, at: new Date().toISOString() };
    this.show();
  }

  /** Removes the current wait from the status. */
  stopWaiting<Outcome>(outcome: Outcome): Outcome {
    return this.waits.stop(outcome);
  }

  show(): void {
    const details = { preflight: this.preflight, plan: this.plan, ledger: this.ledger };
    setCurrentDetails(statusMarkdown(this.status, workflowInfo(), details));
    this.updateSearchAttributes();
    this.reportToFleet();
  }

  /** Reports progress to the fleet of this cluster, if any: phases, waits, and every tenth of the nodes. */
  private reportToFleet(): void {
    const { parent } = workflowInfo();
    if (parent?.workflowId.startsWith(fleetPrefix) !== true || this.status.cluster === '') return;
    const { cluster, phase, waitingFor, nodes } = this.status;
    const migrated = nodes.filter(({ state }) => state === 'migrated').length;
    const tenths = nodes.length === 0 ? 0 : Math.floor((10 * migrated) / nodes.length);
    const progressKey = JSON.stringify([phase, waitingFor, tenths, nodes.length]);
    const progress: ClusterProgress = {
      ...{ cluster, phase, migrated, nodes: nodes.length },
      ...(waitingFor !== undefined && { waitingFor: waitingFor.slice(0, maxKeyword) }),
    };
    this.fleetProgress.report(progress, progressKey);
  }

  /** Keeps the search attributes in sync. Each upsert is an event in the history, so only changes are written. */
  private updateSearchAttributes(): void {
    const { cluster, phase } = this.status;
    // A refused input has no cluster.
    if (cluster === '') return;
    const waitingFor = this.status.waitingFor?.slice(0, maxKeyword);
    const previous = this.published;
    if (previous.cluster === cluster && previous.phase === phase && previous.waitingFor === waitingFor) return;
    this.published = { cluster, phase, ...(waitingFor !== undefined && { waitingFor }) };
    upsertSearchAttributes([
      { key: searchAttributes.cluster, value: cluster },
      { key: searchAttributes.phase, value: phase },
      { key: searchAttributes.waitingFor, value: waitingFor ?? null },
    ]);
  }
}
