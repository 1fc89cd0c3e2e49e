/**
 * Attempts of a step that fails for a reason that may pass: how often and for how long it is repeated, when people see it,
 * and when it becomes a question to them.
 */

/** Failure of an attempt. */
export interface StepFailure {
  /** One of the failure types. */
  type: string;
  message: string;
}

/**
 * What happens with a step whose last attempts have failed. `repeating`: another attempt follows automatically.
 * `overdue`: the same, and it is a question, because the API server has not answered for long. `stopped`: it is a
 * question, and no attempt follows before the answer.
 */
export type RepetitionState = 'repeating' | 'overdue' | 'stopped';

/** A step whose last attempts have failed. */
export interface RepeatedStep {
  /** Verb and object, such as `remove Canal`. */
  step: string;
  state: RepetitionState;
  /** Number of failed attempts so far. */
  attempts: number;
  /** Time of the first failure (ISO 8601, UTC). */
  since: string;
  /** Time of the last known failure (ISO 8601, UTC). */
  failedAt: string;
  /** The last known failure. */
  failure: StepFailure;
  /** Time from which on a failed attempt makes it a question (ISO 8601, UTC). Undefined once it is one. */
  asksAt?: string;
  /** True when the migration may continue without it. */
  mayBeSkipped?: boolean;
}

/** Limits of the attempts until a step becomes a question. */
export interface AttemptBound {
  attempts: number;
  ms: number;
}

/** Limits of a step that has none of its own: about as long as the restart of a control plane. */
export const defaultBound: AttemptBound = { attempts: 40, ms: 600_000 };

/** A failing step is shown after this number of attempts, or after this time if that is earlier. */
const shownAfter = { attempts: 2, ms: 60_000 } as const;

/** Longest pause between two attempts, in ms. */
export const longestPauseMs = 15_000;

/** Maximum duration of a series of attempts, in ms: what is shown is updated when one ends. */
const seriesMs = 115_000;

/** The same for a question whose attempts continue, in ms: each series adds events to the history, for days. */
const overdueSeriesMs = { firstHour: 600_000, later: 3_600_000 } as const;

const hourMs = 3_600_000;

/** Maximum length of the message of a failure that is shown, in characters. */
const maxMessageLength = 500;

/** Failures while the API server does not answer. Their number has no limit: the step continues when it is back. */
const unreachable: readonly string[] = ['ClusterUnreachable'];

/** A number of attempts that Temporal repeats on its own. The workflow learns of their last failure. */
export interface Series {
  /** Number of attempts. */
  attempts: number;
  /** Pause after the first attempt, in ms. It doubles after each. */
  firstPauseMs: number;
}

/** The attempts of one step. */
export class Attempts {
  /** Number of failed attempts. */
  failed = 0;
  state: RepetitionState = 'repeating';
  private readonly bound: AttemptBound;
  private readonly startMs: number;
  private failure: StepFailure | undefined;
  private firstFailureMs = 0;
  private lastFailureMs = 0;
  /** Attempts that count towards the bound: since the first failure, or since the last answer. */
  private counted = 0;
  private countedSinceMs: number | undefined;
  /** Mean duration of an attempt in the last series, without pauses, in ms. */
  private attemptMs = 0;

  /** @param nowMs start of the step (Unix ms). */
  constructor(nowMs: number, bound: AttemptBound = defaultBound) {
    this.startMs = nowMs;
    this.bound = bound;
  }

  /** True while the reason of the last failure is that the API server does not answer. */
  get isUnreachable(): boolean {
    return this.failure !== undefined && unreachable.includes(this.failure.type);
  }

  /**
   * Records a series of failed attempts, and decides what happens with the step.
   * @param series the attempts, and their start (Unix ms).
   */
  record(failure: StepFailure, series: Series & { startMs: number }, nowMs: number): void {
    const wasUnreachable = this.isUnreachable;
    this.failure = { type: failure.type, message: failure.message.slice(0, maxMessageLength) };
    // The bound is for a reason that the operator has to remove: it starts when the API server answers again.
    const isNewReason = wasUnreachable && !this.isUnreachable;
    if (isNewReason) this.restart();
    if (this.failed === 0) this.firstFailureMs = nowMs;
    this.countedSinceMs ??= nowMs;
    this.lastFailureMs = nowMs;
    this.failed += series.attempts;
    // Of the attempts of this series, only the last one is known to have had a new reason.
    this.counted += isNewReason ? 1 : series.attempts;
    this.attemptMs = Math.max(0, (nowMs - series.startMs - pausesMs(series)) / series.attempts);
    if (this.isOver(nowMs)) this.state = this.isUnreachable ? 'overdue' : 'stopped';
  }

  /** Starts to count again, because an operator wants more attempts. */
  restart(): void {
    this.counted = 0;
    this.countedSinceMs = undefined;
    this.state = 'repeating';
  }

  private isOver(nowMs: number): boolean {
    const isLate = nowMs - (this.countedSinceMs ?? nowMs) >= this.bound.ms;
    return isLate || (!this.isUnreachable && this.counted >= this.bound.attempts);
  }

  /** Time in ms until the step is shown although no further attempt has failed; undefined when it has not failed yet. */
  msUntilShown(nowMs: number): number | undefined {
    if (this.failure === undefined) return undefined;
    if (this.failed >= shownAfter.attempts) return 0;
    return Math.max(0, this.startMs + shownAfter.ms - nowMs);
  }

  /**
   * Returns the next attempts.
   * @param isSlow true for a step whose single attempts may take minutes: its first failures are learned one by one.
   */
  nextSeries(isSlow: boolean, nowMs: number): Series {
    if (this.failed < shownAfter.attempts || this.counted === 0)
      return { attempts: isSlow ? 1 : shownAfter.attempts, firstPauseMs: 1_000 };
    if (this.state === 'overdue') {
      const isRecent = nowMs - this.firstFailureMs < hourMs;
      const ms = isRecent ? overdueSeriesMs.firstHour : overdueSeriesMs.later;
      return { attempts: this.attemptsWithin(ms), firstPauseMs: longestPauseMs };
    }
    const leftMs = this.bound.ms - (nowMs - (this.countedSinceMs ?? nowMs));
    const attempts = this.attemptsWithin(Math.min(seriesMs, leftMs));
    const left = this.isUnreachable ? attempts : this.bound.attempts - this.counted;
    const isEarly = this.failed <= shownAfter.attempts;
    return { attempts: Math.min(attempts, Math.max(1, left)), firstPauseMs: isEarly ? 2_000 : longestPauseMs };
  }

  /** Returns how many attempts take at most this time in ms; at least one. */
  private attemptsWithin(ms: number): number {
    return Math.max(1, Math.floor((ms + longestPauseMs) / (this.attemptMs + longestPauseMs)));
  }

  /** Returns what people see; undefined until the step is shown. */
  view(step: string, mayBeSkipped: boolean, nowMs: number): RepeatedStep | undefined {
    if (this.failure === undefined || this.msUntilShown(nowMs) !== 0) return undefined;
    const { countedSinceMs } = this;
    return {
      ...{ step, state: this.state, attempts: this.failed },
      ...{ since: isoTime(this.firstFailureMs), failedAt: isoTime(this.lastFailureMs), failure: this.failure },
      ...(this.state === 'repeating' &&
        countedSinceMs !== undefined && { asksAt: isoTime(countedSinceMs + this.bound.ms) }),
      ...(mayBeSkipped && { mayBeSkipped }),
    };
  }
}

/** Returns the duration of all pauses of a series, in ms. */
function pausesMs({ attempts, firstPauseMs }: Series): number {
  let totalMs = 0;
  let pauseMs = firstPauseMs;
  for (let pauses = 1; pauses < attempts; pauses++, pauseMs *= 2) totalMs += Math.min(longestPauseMs, pauseMs);
  return totalMs;
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

/** True for a step that waits for the decision of an operator. */
export function isQuestion({ state }: Pick<RepeatedStep, 'state'>): boolean {
  return state !== 'repeating';
}

/** True for a step that has no attempt before the answer of an operator. */
export function isStopped({ state }: Pick<RepeatedStep, 'state'>): boolean {
  return state === 'stopped';
}

/** Maximum length of a failure in the text of a wait, in characters. */
const maxTextLength = 300;

/** Returns a repeated step as the subject of a wait. */
export function repeatedStepText({ step, state, attempts, failure }: RepeatedStep): string {
  const cause = `${failure.type}: ${failure.message.slice(0, maxTextLength)}`;
  switch (state) {
    case 'repeating':
      return `the step "${step}", which is repeated: attempt ${attempts} failed (${cause})`;
    case 'overdue':
      return `the step "${step}", which is repeated until the API server answers: attempt ${attempts} failed (${cause})`;
    case 'stopped':
      return `the step "${step}", which is not repeated any more: attempt ${attempts} failed (${cause})`;
  }
}
