import {
  ActivityFailure,
  CancellationScope,
  condition,
  isCancellation,
  log,
  scheduleActivity,
  sleep,
  type ActivityOptions,
} from '@temporalio/workflow';
import type { Activities } from '../../activities/index.ts';
import { Attempts, isQuestion, longestPauseMs, type RepeatedStep, type Series } from '../../model/attempts.ts';
import { activityOptions, attemptBounds, quickAttempt } from '../activity-options.ts';
import { failureSummary } from './operator-failure.ts';
import type { ActivityInput, ActivityResult } from './run.ts';

/** Options of {@link Steps}. */
interface StepsOptions {
  /** Called when {@link Steps.repeated} has changed. */
  onChange: () => void;
  /**
   * Returns true when a step fails with its last failure after its last attempt, instead of asking an operator.
   * @default it asks
   */
  failsAtBound?: () => boolean;
  /** Seconds between reminders of a question. @default 86,400 */
  reminderSeconds?: () => number;
  /** Called with each reminder of a question. @default nothing happens */
  onReminder?: (step: RepeatedStep) => void;
}

/** Answer of an operator to the question about a step: more attempts, or to continue without it. */
export type StepAnswer = 'retry' | 'skip';

/** A step in progress. */
interface RunningStep {
  summary: string;
  attempts: Attempts;
  mayBeSkipped: boolean;
  answer: StepAnswer | undefined;
}

/** Default of {@link StepsOptions.reminderSeconds}. */
const defaultReminderSeconds = 86_400;

/**
 * Runs activities, shows those whose attempts fail, and asks an operator about those that have no attempt left; the rules
 * are those of {@link Attempts}.
 */
export class Steps {
  private readonly running = new Map<number, RunningStep>();
  private readonly options: StepsOptions;
  private count = 0;

  constructor(options: StepsOptions) {
    this.options = options;
  }

  /** The steps whose last attempts have failed, those that ask first. */
  get repeated(): RepeatedStep[] {
    const nowMs = Date.now();
    const views = [...this.running.values()].flatMap(
      ({ attempts, summary, mayBeSkipped }) => attempts.view(summary, mayBeSkipped, nowMs) ?? []
    );
    return views.length < 2 ? views : [...views.filter(isQuestion), ...views.filter((view) => !isQuestion(view))];
  }

  /**
   * Runs an activity with its options. Where these limit its attempts, it fails after the last one. Otherwise it is
   * repeated up to its bound, shown meanwhile, and then a question to an operator.
   * @param summary verb and object, for the Web UI.
   * @param options replace those of the activity.
   * @throws ActivityFailure, with the activity's own failure as its cause.
   */
  async run<Name extends keyof Activities>(
    name: Name,
    summary: string,
    input: ActivityInput<Name>,
    options: ActivityOptions = {}
  ): Promise<ActivityResult<Name>> {
    const result = await this.repeat(name, summary, input, options, false);
    if (result === undefined) throw new Error(`the step "${summary}" may not be skipped`);
    return result.value;
  }

  /**
   * Runs an activity that the migration can do without.
   * @returns undefined when an operator has skipped it.
   */
  async runSkippable<Name extends keyof Activities>(
    name: Name,
    summary: string,
    input: ActivityInput<Name>
  ): Promise<ActivityResult<Name> | undefined> {
    return (await this.repeat(name, summary, input, {}, true))?.value;
  }

  /**
   * Answers the questions about steps. A step that is still attempted is not skipped.
   * @param summary the step; undefined for all.
   */
  answer(summary: string | undefined, answer: StepAnswer): void {
    for (const step of this.running.values()) {
      const { attempts, mayBeSkipped } = step;
      if ((summary !== undefined && step.summary !== summary) || !isQuestion(attempts)) continue;
      if (answer === 'skip' && (attempts.state !== 'stopped' || !mayBeSkipped)) continue;
      step.answer = answer;
      if (answer === 'retry') attempts.restart();
    }
    this.options.onChange();
  }

  private async repeat<Name extends keyof Activities>(
    name: Name,
    summary: string,
    input: ActivityInput<Name>,
    options: ActivityOptions,
    mayBeSkipped: boolean
  ): Promise<{ value: ActivityResult<Name> } | undefined> {
    const complete = { ...activityOptions[name], ...options, summary };
    const attempt = (limited: ActivityOptions) => scheduleActivity<ActivityResult<Name>>(name, [input], limited);
    if (complete.retry?.maximumAttempts !== undefined) return { value: await attempt(complete) };
    const isSlow = complete.startToCloseTimeout !== quickAttempt;
    const attempts = new Attempts(Date.now(), attemptBounds[name]);
    const step: RunningStep = { summary, attempts, mayBeSkipped, answer: undefined };
    const id = this.count++;
    try {
      for (;;) {
        const series = attempts.nextSeries(isSlow, Date.now());
        const startMs = Date.now();
        const work = () => attempt({ ...complete, retry: { ...complete.retry, ...retriesOf(series) } });
        const result = await this.showMeanwhile(step, work).catch((error: unknown) => asPassing(error));
        if ('value' in result) return result;
        this.running.set(id, step);
        attempts.record(failureSummary(result.failure), { ...series, startMs }, Date.now());
        if (attempts.state === 'stopped' && this.options.failsAtBound?.() === true) throw result.failure;
        this.options.onChange();
        if (await this.isSkipped(step, series)) return undefined;
      }
    } finally {
      if (this.running.delete(id)) this.options.onChange();
    }
  }

  /** Runs attempts. A step that has failed once, and is not shown yet, is shown meanwhile when it is time. */
  private async showMeanwhile<T>(step: RunningStep, work: () => Promise<T>): Promise<{ value: T }> {
    const leftMs = step.attempts.msUntilShown(Date.now());
    if (leftMs === undefined || leftMs === 0) return { value: await work() };
    const timer = new CancellationScope();
    const shown = timer.run(async () => {
      await sleep(leftMs, { summary: `show the failure of: ${step.summary}`.slice(0, maxSummary) });
      this.options.onChange();
    });
    const ended = shown.catch((error: unknown) => {
      if (!isCancellation(error)) throw error;
    });
    try {
      return { value: await work() };
    } finally {
      timer.cancel();
      await ended;
    }
  }

  /**
   * Waits until the next series may start: for the answer of an operator, if no attempt is left.
   * @returns true when the operator has skipped the step.
   */
  private async isSkipped(step: RunningStep, { attempts, firstPauseMs }: Series): Promise<boolean> {
    if (step.attempts.state === 'stopped') return (await this.ask(step)) === 'skip';
    // Temporal pauses between the attempts of a series only.
    const summary = `pause before the next attempt: ${step.summary}`.slice(0, maxSummary);
    if (attempts === 1) await sleep(firstPauseMs, { summary });
    return false;
  }

  /** Waits for the answer to the question about a step. */
  private async ask(step: RunningStep): Promise<StepAnswer> {
    step.answer = undefined;
    const isAnswered = (): boolean => step.answer !== undefined;
    const summary = `wait for a decision about: ${step.summary}`.slice(0, maxSummary);
    while (!isAnswered()) {
      const reminderMs = (this.options.reminderSeconds?.() ?? defaultReminderSeconds) * 1_000;
      if (!(await condition(isAnswered, reminderMs, { summary }))) this.remind(step);
    }
    return step.answer ?? 'retry';
  }

  private remind({ attempts, summary, mayBeSkipped }: RunningStep): void {
    const view = attempts.view(summary, mayBeSkipped, Date.now());
    if (view === undefined) return;
    log.warn(`still waiting for a decision about the step "${summary}"`, { since: view.failedAt });
    this.options.onReminder?.(view);
  }
}

/** Maximum length of a timer's summary, in characters. */
const maxSummary = 200;

function retriesOf({ attempts, firstPauseMs }: Series) {
  return { maximumAttempts: attempts, initialInterval: firstPauseMs, maximumInterval: longestPauseMs };
}

/**
 * Returns the failure of a series of attempts that may pass.
 * @throws any other failure.
 */
function asPassing(error: unknown): { failure: unknown } {
  const mayPass = error instanceof ActivityFailure && error.retryState === 'MAXIMUM_ATTEMPTS_REACHED';
  if (!mayPass) throw error;
  return { failure: error };
}
