import { condition, log } from '@temporalio/workflow';
import type { MigrationStatus } from '../../model/status.ts';
import { waitText, type Wait } from '../../model/wait.ts';

/**
 * Reason why a wait ended: what it waited for has happened, its deadline has passed, or the run must continue as new. A
 * wait that ends for the last reason is repeated by the next run, with the same start.
 */
export type WaitEnd = 'happened' | 'deadline' | 'long history';

/** Options of {@link VisibleWaits}. */
interface Options {
  /** Part of the status that shows the current wait. */
  status: Pick<MigrationStatus, 'waitingFor' | 'waiting'>;
  /** Seconds between reminders. */
  reminderSeconds: () => number;
  /** Returns true when the run must continue as new. */
  isLong: () => boolean;
  /** Publishes the status. */
  publish: () => void;
}

/** Waits of a workflow for people, time or events. Each is shown in the status, with the messages that end it. */
export class VisibleWaits {
  private readonly options: Options;
  private describe: (() => Wait) | undefined;
  /** The wait of the previous run, which this one continues: it keeps its start, regardless of what is shown before it. */
  private continued: MigrationStatus['waiting'];
  /** The last wait that has ended. */
  private last: MigrationStatus['waiting'];

  constructor(options: Options) {
    this.options = options;
    this.continued = options.status.waiting;
  }

  /**
   * Waits until a predicate holds. Messages that do not concern the wait do not end it.
   * @param describe returns the wait as it is now: its answers may change while it lasts.
   */
  async until(describe: () => Wait, predicate: () => boolean): Promise<WaitEnd> {
    const { reminderSeconds, isLong, publish } = this.options;
    this.describe = describe;
    publish();
    let end: WaitEnd | undefined;
    try {
      while (end === undefined) {
        const reminderMs = reminderSeconds() * 1_000;
        const { deadlineMs } = describe();
        const leftMs = deadlineMs === undefined ? Infinity : Math.max(0, deadlineMs - Date.now());
        const summary = `wait for ${waitText(describe())}`.slice(0, maxSummary);
        const isOver = await condition(() => predicate() || isLong(), Math.min(reminderMs, leftMs), { summary });
        if (predicate()) end = 'happened';
        else if (isLong()) end = 'long history';
        else if (!isOver && leftMs <= reminderMs) end = 'deadline';
        else if (!isOver) this.remind(describe());
      }
      return end;
    } finally {
      this.describe = undefined;
      this.last = this.options.status.waiting;
      if (end !== 'long history') this.continued = undefined;
      // The next run continues the wait, with its start.
      if (end !== 'long history') publish();
    }
  }

  /** Continues the last wait: when the next one has the same key, it keeps its start and its reminders. */
  continueLast(): void {
    this.continued = this.last;
  }

  private remind(wait: Wait): void {
    const { status, publish } = this.options;
    if (status.waiting !== undefined) status.waiting.reminders++;
    log.warn(`still waiting for ${waitText(wait)}`, { since: status.waiting?.since });
    publish();
  }

  /** Updates the status with the current wait. A wait with the same key keeps its start and its reminders. */
  show(otherwise: Wait | undefined): void {
    const { status } = this.options;
    const wait = this.describe?.() ?? otherwise;
    if (wait === undefined) {
      delete status.waitingFor;
      delete status.waiting;
      return;
    }
    const { kind, key, answers, deadlineMs } = wait;
    const { since, reminders } = this.findStarted(wait) ?? { since: new Date().toISOString(), reminders: 0 };
    status.waitingFor = waitText(wait);
    status.waiting = {
      ...{ kind, key, since, reminders, answers },
      ...(deadlineMs !== undefined && { deadline: new Date(deadlineMs).toISOString() }),
    };
  }

  /**
   * Returns the deadline of a wait that started when the status first showed it (Unix ms); undefined without a limit.
   */
  deadlineMs(wait: Pick<Wait, 'kind' | 'key'>, seconds: number | undefined): number | undefined {
    if (seconds === undefined) return undefined;
    const since = this.findStarted(wait)?.since;
    return (since === undefined ? Date.now() : Date.parse(since)) + seconds * 1_000;
  }

  /** Returns the wait with this key, when it is shown now or the previous run has left it. */
  private findStarted({ kind, key }: Pick<Wait, 'kind' | 'key'>): MigrationStatus['waiting'] {
    const shown = [this.options.status.waiting, this.continued];
    return shown.find((waiting) => waiting?.kind === kind && waiting.key === key);
  }
}

/** Maximum length of a timer's summary, in characters. */
const maxSummary = 200;
