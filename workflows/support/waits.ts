import { condition, log } from '@temporalio/workflow';
import type { Answer } from '../../model/decision.ts';
import type { Waiting } from '../../model/status.ts';
import type { Changes } from './changes.ts';

/** A wait: its subject, and the other ways in which it can end. */
export interface Wait {
  /** Text that follows "Waiting for". */
  what: string;
  /**
   * Messages that end the wait.
   * @default none
   */
  answers?: Answer[];
  /** Seconds between reminders. */
  reminderSeconds: number;
  /**
   * Milliseconds after which the wait ends.
   * @default never
   */
  timeoutMs?: number | undefined;
}

/** Reason why a wait ended: its condition holds, there are changes to handle first, or its time is over. */
export type WaitOutcome = 'holds' | 'message' | 'timeout';

/** Part of a status that shows the current wait. */
interface WaitStatus {
  waitingFor?: string;
  waiting?: Waiting;
}

/** Options of {@link Waits}. */
interface WaitsOptions {
  status: WaitStatus;
  /** Changes that end a wait early, so that the caller checks everything again. */
  changes: Changes;
  /** Publishes the status. */
  show: () => void;
  /**
   * Returns true when every wait has to end early for another reason.
   * @default never
   */
  mustEnd?: () => boolean;
}

/** Waits of a workflow for people, time or events. Each is shown in the status, with the messages that end it. */
export class Waits {
  private readonly status: WaitStatus;
  private readonly changes: Changes;
  private readonly show: () => void;
  private readonly mustEnd: () => boolean;

  constructor({ status, changes, show, mustEnd = () => false }: WaitsOptions) {
    this.status = status;
    this.changes = changes;
    this.show = show;
    this.mustEnd = mustEnd;
  }

  /**
   * Waits for a condition, and shows its subject in the status. Returns early on a change, so that the caller checks
   * everything again, and on timeout.
   * @returns the reason why the wait ended; `holds` when the condition is true.
   */
  async wait({ what, answers = [], reminderSeconds, timeoutMs }: Wait, holds: () => boolean): Promise<WaitOutcome> {
    const hasNews = this.changes.watch();
    const waiting = this.publish(what, answers);
    const deadlineMs = timeoutMs === undefined ? undefined : Date.now() + timeoutMs;
    for (;;) {
      const reminderMs = reminderSeconds * 1_000;
      const ms = deadlineMs === undefined ? reminderMs : Math.min(reminderMs, Math.max(0, deadlineMs - Date.now()));
      const hasChanged = await condition(() => holds() || hasNews() || this.mustEnd(), ms, {
        summary: `wait for ${what}`.slice(0, 200),
      });
      if (holds()) return this.stop('holds');
      // The wait stays in the status: the caller may wait for the same subject again, with the same start.
      if (hasChanged) return 'message';
      if (deadlineMs !== undefined && Date.now() >= deadlineMs) return this.stop('timeout');
      waiting.reminders++;
      log.warn(`still waiting for ${what}`, { since: waiting.since, answers });
      this.show();
    }
  }

  /** Shows a wait in the status. A wait for the same subject as before keeps its start and its reminders. */
  private publish(what: string, answers: Answer[]): Waiting {
    const { status } = this;
    const previous = status.waitingFor === what ? status.waiting : undefined;
    const waiting: Waiting = {
      since: previous?.since ?? new Date().toISOString(),
      reminders: previous?.reminders ?? 0,
      answers,
    };
    status.waitingFor = what;
    status.waiting = waiting;
    this.show();
    return waiting;
  }

  /**
   * Returns the remaining time in ms of a deadline that started when the status first showed this wait; undefined
   * without a deadline.
   */
  remainingMs(what: string, seconds: number | undefined): number | undefined {
    if (seconds === undefined) return undefined;
    const since = this.status.waitingFor === what ? this.status.waiting?.since : undefined;
    return Math.max(0, (since === undefined ? Date.now() : Date.parse(since)) + seconds * 1_000 - Date.now());
  }

  /** Removes the current wait from the status. */
  stop<Outcome>(outcome: Outcome): Outcome {
    delete this.status.waitingFor;
    delete this.status.waiting;
    this.show();
    return outcome;
  }
}
