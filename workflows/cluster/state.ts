import {
  allHandlersFinished,
  condition,
  continueAsNew,
  getExternalWorkflowHandle,
  log,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import { ApplicationFailure } from '@temporalio/common';
import {
  blockersQuery,
  clusterProgressSignal,
  fleetPrefix,
  ledgerQuery,
  nodeQuery,
  planQuery,
  policiesQuery,
  preflightQuery,
  progressSignal,
  signal,
  statusQuery,
  update,
} from '../messages.ts';
import { noDecisions, applyMessage, type Decisions, type MessageContext } from '../../model/decisions.ts';
import type { ClusterProgress } from '../../model/fleet-status.ts';
import type { Ledger } from '../../model/ledger.ts';
import { messageNames, parseMessage, type MessageName, type Messages } from '../../model/message-schemas.ts';
import type { Plan } from '../../model/plan.ts';
import { untrustedProblems } from '../../model/input-limits.ts';
import type { PolicyReport } from '../../model/policies.ts';
import type { CheckOutcome } from '../../model/preflight.ts';
import {
  maxNotes,
  phases,
  type Answer,
  type MigrationReport,
  type MigrationStatus,
  type NodeProgress,
  type NodeStatus,
  type Phase,
} from '../../model/status.ts';
import { statusMarkdown } from '../../model/markdown/status.ts';
import { maxKeyword, searchAttributes } from '../search-attributes.ts';

/** Names of the nodes for which a step of the whole cluster is done, so that the next run skips them. */
export type DoneNodes = Record<'cutover' | 'clean canal' | 'clean cilium', string[]>;

/** State that a run carries over to the next with continue-as-new, when its history is long. */
export interface Carried {
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
type ClusterMigrationWorkflow = (raw: unknown, carried?: Carried) => Promise<MigrationReport>;

/** Default limit of the history: a server's own limits are 10,000 (warning) and 51,200 events. */
const defaultHistoryLimit = 8_000;

/** An operator aborted the migration or requested a rollback; thrown at the next step that can be interrupted. */
export class TurnedRound extends Error {
  override name = 'TurnedRound';
}

/** A wait: its subject, and the other ways in which it can end. */
export interface Wait {
  /** Text that follows "Waiting for". */
  what: string;
  answers?: Answer[];
  /** Seconds between reminders. */
  reminderSeconds: number;
  /**
   * Milliseconds after which the wait ends.
   * @default never
   */
  timeoutMs?: number | undefined;
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
  handingOver = false;
  /** Raw input of the run. */
  request: unknown;
  /** Called with each accepted message, after its decision is recorded. */
  readonly listeners: ((name: MessageName, message: Messages[MessageName]) => void)[] = [];
  /** Number of accepted messages: a wait ends when it changes, so that its caller checks everything again. */
  private version = 0;
  /** Last values of the search attributes. */
  private found: { cluster?: string; phase?: string; waitingFor?: string } = {};
  /** Last progress reported to the fleet. */
  private told = '';
  private telling: Promise<void> = Promise.resolve();
  private readonly historyLimit: number;

  constructor({ status, control, preflight, policies, ledger, done, historyLimit }: Carried) {
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
    this.setHandlers();
  }

  private setHandlers(): void {
    setHandler(statusQuery, () => this.status, { description: 'Where the migration is' });
    setHandler(planQuery, () => this.plan, { description: 'Waves with reasons, what is installed and removed' });
    setHandler(preflightQuery, () => this.preflight, { description: 'Outcomes of the checks before the migration' });
    setHandler(policiesQuery, () => this.policies, { description: 'What became of the policies on Cilium' });
    setHandler(ledgerQuery, () => this.ledger, { description: 'What was measured before, during and after' });
    setHandler(nodeQuery, (name) => this.node(name), { description: 'One node: "name"' });
    setHandler(
      blockersQuery,
      () =>
        this.status.nodes.flatMap(({ name, blockers = [] }) => blockers.map((blocker) => ({ node: name, ...blocker }))),
      { description: 'What holds up the nodes that are under way' }
    );
    setHandler(progressSignal, (progress) => this.takeProgress(progress));
    for (const name of messageNames) this.setMessageHandlers(name);
  }

  /** Sets the handlers of a message: a signal and an update of the same name, with the same rules. */
  private setMessageHandlers<Name extends MessageName>(name: Name): void {
    setHandler(signal(name), (raw) => {
      const outcome = this.take(name, raw);
      if ('problem' in outcome) {
        // The history already contains the secret, but the details must not repeat it.
        const quoted = untrustedProblems(raw).length > 0 ? 'not shown' : JSON.stringify(raw ?? null).slice(0, 300);
        this.note(`${name} was ignored: ${outcome.problem}; it was ${quoted}`);
      }
    });
    setHandler(
      update(name),
      (raw) => {
        const outcome = this.take(name, raw);
        if ('problem' in outcome) throw refused(outcome.problem);
        return outcome.done;
      },
      {
        validator: (raw) => {
          // On copies: a replay does not run validators, so their changes would be lost.
          const copy = JSON.parse(JSON.stringify(this.judged)) as MessageContext;
          const outcome = parseAndApply(name, raw, copy);
          if ('problem' in outcome) throw refused(outcome.problem);
        },
      }
    );
  }

  private get judged(): MessageContext {
    return { control: this.control, status: this.status };
  }

  private take<Name extends MessageName>(name: Name, raw: unknown): { problem: string } | { done: string } {
    const outcome = parseAndApply(name, raw, this.judged);
    if ('problem' in outcome) return outcome;
    this.version++;
    for (const listener of this.listeners) listener(name, outcome.message);
    this.show();
    return outcome;
  }

  private takeProgress({ node, blockers, waitingFor }: NodeProgress): void {
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
    this.status.notes = [...this.status.notes, text].slice(-maxNotes);
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
  get turnedRound(): boolean {
    return this.control.aborted !== undefined || this.control.rollbackAll !== undefined;
  }

  /**
   * Waits while the migration is paused. Continues as new when the history is long.
   * @throws TurnedRound
   */
  async checkpoint(reminderSeconds: number): Promise<void> {
    for (;;) {
      if (this.turnedRound) throw new TurnedRound();
      await this.handOverWhenLong();
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
  async handOverWhenLong(): Promise<void> {
    if (this.isLong) await this.handOver();
  }

  private get isLong(): boolean {
    const { continueAsNewSuggested, historyLength } = workflowInfo();
    return continueAsNewSuggested || historyLength >= this.historyLimit;
  }

  /** Continues as new: decisions are carried over, the rest is read from the cluster. */
  private async handOver(): Promise<void> {
    this.handingOver = true;
    await condition(allHandlersFinished);
    const carried: Carried = {
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

  /**
   * Waits for a condition, and shows its subject in the status. Returns early when a message was accepted, so that the
   * caller checks everything again, and on timeout.
   * @returns the reason why the wait ended; `holds` when the condition is true.
   */
  async wait(
    { what, answers = [], reminderSeconds, timeoutMs }: Wait,
    holds: () => boolean
  ): Promise<'holds' | 'message' | 'timeout'> {
    const seen = this.version;
    const since = this.status.waitingFor === what ? this.status.waiting?.since : undefined;
    const reminders = since === undefined ? 0 : (this.status.waiting?.reminders ?? 0);
    this.status.waitingFor = what;
    this.status.waiting = { since: since ?? new Date().toISOString(), reminders, answers };
    this.show();
    const deadlineMs = timeoutMs === undefined ? undefined : Date.now() + timeoutMs;
    for (;;) {
      const reminderMs = reminderSeconds * 1_000;
      const ms = deadlineMs === undefined ? reminderMs : Math.min(reminderMs, Math.max(0, deadlineMs - Date.now()));
      const hasChanged = await condition(() => holds() || this.version !== seen || this.isLong, ms, {
        summary: `waiting for ${what}`.slice(0, 200),
      });
      if (holds()) return this.stopWaiting('holds');
      // The wait stays in the status: the caller may wait for the same subject again, with the same start.
      if (hasChanged) return 'message';
      if (deadlineMs !== undefined && Date.now() >= deadlineMs) return this.stopWaiting('timeout');
      this.status.waiting.reminders++;
      log.warn(`still waiting for ${what}`, { since: this.status.waiting.since, answers });
      this.show();
    }
  }

  /**
   * Returns the remaining ms of a deadline that started when the status first showed this wait; undefined without one.
   */
  leftOf(what: string, seconds: number | undefined): number | undefined {
    if (seconds === undefined) return undefined;
    const since = this.status.waitingFor === what ? this.status.waiting?.since : undefined;
    return Math.max(0, (since === undefined ? Date.now() : Date.parse(since)) + seconds * 1_000 - Date.now());
  }

  /** Pauses the migration automatically, until an operator resumes it. */
  pauseFor(reason: string): void {
    this.status.paused = { by: 'cni-live-migration', reason, at: new Date().toISOString() };
    this.show();
  }

  /** Removes the current wait from the status. */
  stopWaiting<Why>(why: Why): Why {
    delete this.status.waitingFor;
    delete this.status.waiting;
    this.show();
    return why;
  }

  show(): void {
    const details = { preflight: this.preflight, plan: this.plan, ledger: this.ledger };
    setCurrentDetails(statusMarkdown(this.status, workflowInfo().workflowId, details));
    this.makeFindable();
    this.tellFleet();
  }

  /** Reports progress to the fleet of this cluster, if any: phases, waits, and every tenth of the nodes. */
  private tellFleet(): void {
    const { parent } = workflowInfo();
    if (parent?.workflowId.startsWith(fleetPrefix) !== true || this.status.cluster === '') return;
    const { cluster, phase, waitingFor, nodes } = this.status;
    const migrated = nodes.filter(({ state }) => state === 'migrated').length;
    const tenths = nodes.length === 0 ? 0 : Math.floor((10 * migrated) / nodes.length);
    const progressKey = JSON.stringify([phase, waitingFor, tenths, nodes.length]);
    if (progressKey === this.told) return;
    this.told = progressKey;
    const progress: ClusterProgress = {
      ...{ cluster, phase, migrated, nodes: nodes.length },
      ...(waitingFor !== undefined && { waitingFor: waitingFor.slice(0, maxKeyword) }),
    };
    const handle = getExternalWorkflowHandle(parent.workflowId);
    // Errors are ignored, because a fleet that has ended needs no progress. Sequential, so that the last signal is the
    // latest.
    this.telling = this.telling.then(() => handle.signal(clusterProgressSignal, progress).catch(() => undefined));
  }

  /** Keeps the search attributes in sync. Each upsert is an event in the history, so only changes are written. */
  private makeFindable(): void {
    const { cluster, phase } = this.status;
    // A refused input has no cluster.
    if (cluster === '') return;
    const waitingFor = this.status.waitingFor?.slice(0, maxKeyword);
    const previous = this.found;
    if (previous.cluster === cluster && previous.phase === phase && previous.waitingFor === waitingFor) return;
    this.found = { cluster, phase, ...(waitingFor !== undefined && { waitingFor }) };
    upsertSearchAttributes([
      { key: searchAttributes.cluster, value: cluster },
      { key: searchAttributes.phase, value: phase },
      { key: searchAttributes.waitingFor, value: waitingFor ?? null },
    ]);
  }
}

function parseAndApply<Name extends MessageName>(
  name: Name,
  raw: unknown,
  context: MessageContext
): { problem: string } | { done: string; message: Messages[Name] } {
  const parsed = parseMessage(name, raw);
  if ('problem' in parsed) return parsed;
  const outcome = applyMessage(name, parsed.message, context, new Date().toISOString());
  return 'problem' in outcome ? outcome : { ...outcome, message: parsed.message };
}

function refused(problem: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(problem, 'InvalidInput');
}
