import { log, setCurrentDetails, setHandler } from '@temporalio/workflow';
import { fleetStatusQuery } from '../messages.ts';
import { withApiVersion } from '../../model/api-version.ts';
import { applyFleetMessage, type FleetMessageContext } from '../../model/fleet-decisions.ts';
import {
  fleetMessageNames,
  parseFleetMessage,
  type FleetMessage,
  type FleetMessageName,
} from '../../model/fleet-messages.ts';
import { currentWait, type FleetWait } from '../../model/fleet-schedule.ts';
import type { FleetState } from '../../model/fleet-state.ts';
import type { FleetWaiting } from '../../model/fleet-status.ts';
import { fleetMarkdown } from '../../model/markdown/fleet-status.ts';
import { appendNote } from '../../model/status.ts';
import { Changes } from '../support/changes.ts';
import { setMessageHandlers } from '../support/message-handlers.ts';

/** What operators see of a fleet and send to it: queries, messages, notes, and the current wait. */
export class FleetBoard {
  private readonly state: FleetState;
  /** Messages and ends of migrations. The loop of the fleet checks everything again after each. */
  private readonly changes = new Changes();

  constructor(state: FleetState) {
    this.state = state;
    setHandler(fleetStatusQuery, () => withApiVersion(state.status), {
      description: 'State of every cluster, and the current wait',
    });
    setMessageHandlers<FleetMessageName, FleetMessage, FleetMessageContext>({
      names: fleetMessageNames,
      context: () => ({ control: state.control, status: state.status }),
      parse: parseFleetMessage,
      apply: applyFleetMessage,
      onAccepted: () => this.recordChange(),
      note: (text) => this.note(text),
    });
    this.show();
  }

  /** Returns a function that returns true when a change was recorded since this call. */
  watch(): () => boolean {
    return this.changes.watch();
  }

  /** Records a change, after which the fleet checks everything again. */
  recordChange(): void {
    this.changes.record();
    this.show();
  }

  /** Adds a note to the status. */
  note(text: string): void {
    this.state.status.notes = appendNote(this.state.status.notes, text);
    this.show();
  }

  /**
   * Shows the current wait, if any.
   * @returns the time until its next reminder in ms; undefined when nobody has to answer.
   */
  showWait(): number | undefined {
    const wait = currentWait(this.state, Date.now());
    if (wait === undefined) {
      this.clearWait();
      return undefined;
    }
    const waiting = continueWait(this.state.status.waiting, wait);
    Object.assign(this.state.status, { waitingFor: wait.text, waiting });
    this.show();
    return this.reminderTime === undefined ? undefined : Math.max(0, this.reminderTime - Date.now());
  }

  /** Removes the wait from the status. */
  clearWait(): void {
    if (this.state.status.waiting === undefined) return;
    delete this.state.status.waitingFor;
    delete this.state.status.waiting;
    this.show();
  }

  /** Logs a reminder when its time has come. */
  remindIfDue(): void {
    const { waiting, waitingFor } = this.state.status;
    const { reminderTime } = this;
    if (waiting === undefined || reminderTime === undefined || reminderTime > Date.now()) return;
    // After a time without a worker, one reminder stands for all that were missed.
    const passed = Math.floor((Date.now() - Date.parse(waiting.since)) / this.reminderIntervalMs);
    waiting.reminders = Math.max(waiting.reminders + 1, passed);
    log.warn(`still waiting for ${waitingFor ?? ''}`, { since: waiting.since, answers: waiting.answers });
    this.show();
  }

  /** Time of the next reminder, in Unix ms. Nobody is reminded of a soak. */
  private get reminderTime(): number | undefined {
    const { waiting } = this.state.status;
    if (waiting === undefined || waiting.answers.length === 0) return undefined;
    return Date.parse(waiting.since) + (waiting.reminders + 1) * this.reminderIntervalMs;
  }

  private get reminderIntervalMs(): number {
    return this.state.options.reminderSeconds * 1_000;
  }

  show(): void {
    setCurrentDetails(fleetMarkdown(this.state.status));
  }
}

/** Returns the details of a wait. It keeps its start and its reminders while it is about no other clusters. */
function continueWait(previous: FleetWaiting | undefined, { kind, clusters, answers }: FleetWait): FleetWaiting {
  const isSame = previous?.kind === kind && clusters.every((cluster) => previous.clusters.includes(cluster));
  const { since, reminders } = isSame ? previous : { since: new Date().toISOString(), reminders: 0 };
  return { kind, clusters, since, reminders, answers };
}
