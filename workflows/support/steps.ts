import type { RetryPolicy } from '@temporalio/common';
import { ActivityFailure, scheduleActivity, type ActivityOptions } from '@temporalio/workflow';
import type { Activities } from '../../activities/index.ts';
import { activityOptions } from '../activity-options.ts';
import { failureSummary } from './operator-failure.ts';
import type { ActivityInput, ActivityResult } from './run.ts';

/** A step that keeps failing for a reason that may pass, such as an API server that does not answer. */
export interface Trouble {
  /** Verb and object. */
  step: string;
  /** The latest failure. */
  type: string;
  message: string;
}

/** Runs activities, and reports those that keep failing. */
export class Steps {
  private readonly troubles = new Map<number, Trouble>();
  private readonly onChange: () => void;
  private count = 0;

  /** @param onChange called when {@link trouble} has changed. */
  constructor(onChange: () => void) {
    this.onChange = onChange;
  }

  /** The first step that keeps failing now; undefined when there is none. */
  get trouble(): Trouble | undefined {
    return this.troubles.values().next().value;
  }

  /**
   * Runs an activity with its options. Where these set no limit for its attempts, it is repeated until it succeeds or is
   * cancelled, and its failure is reported after the first attempts: an operator repairs the cause, or ends the migration.
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
    const complete = { ...activityOptions[name], ...options, summary };
    if (complete.retry?.maximumAttempts !== undefined) return scheduleActivity(name, [input], complete);
    const id = this.count++;
    try {
      for (let series = 0; ; series++) {
        const retry = seriesOfAttempts(series, complete.retry);
        const result = await scheduleActivity<ActivityResult<Name>>(name, [input], { ...complete, retry }).then(
          (value) => ({ value }),
          (error: unknown) => this.keepTrouble(id, summary, error)
        );
        if (result !== undefined) return result.value;
      }
    } finally {
      if (this.troubles.delete(id)) this.onChange();
    }
  }

  /** Shows a failure that may pass. @throws any other failure. */
  private keepTrouble(id: number, step: string, error: unknown): undefined {
    if (!mayPass(error)) throw error;
    this.troubles.set(id, { step, ...failureSummary(error) });
    this.onChange();
  }
}

/** Attempts until a failure is shown, which take about 30 s. */
const firstAttempts = 6;

/** Attempts until a shown failure is updated, which take about 10 minutes. */
const laterAttempts = 40;

/** Interval between the attempts of later series. */
const laterInterval = '15 seconds';

/** Returns the retries of a series of attempts, counted from 0: the first series is quick. */
function seriesOfAttempts(series: number, retry: RetryPolicy = {}): RetryPolicy {
  if (series === 0) return { ...retry, maximumAttempts: firstAttempts };
  return { ...retry, initialInterval: laterInterval, maximumAttempts: laterAttempts };
}

/** True when the activity failed only because a series of attempts is over. */
function mayPass(error: unknown): boolean {
  return error instanceof ActivityFailure && error.retryState === 'MAXIMUM_ATTEMPTS_REACHED';
}
