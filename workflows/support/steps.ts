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
      for (const retry of retries(complete.retry)) {
        try {
          return await scheduleActivity<ActivityResult<Name>>(name, [input], { ...complete, retry });
        } catch (error) {
          if (!mayPass(error)) throw error;
          this.troubles.set(id, { step: summary, ...failureSummary(error) });
          this.onChange();
        }
      }
      throw new Error('unreachable: the retries do not end');
    } finally {
      if (this.troubles.delete(id)) this.onChange();
    }
  }
}

/** Attempts until a failure is shown, which take about 30 s. */
const firstAttempts = 6;

/** Attempts until a shown failure is updated, which take about 10 minutes. */
const laterAttempts = 40;

/** Returns the retries of each series of attempts: quick ones first. */
function* retries(retry: ActivityOptions['retry']): Generator<NonNullable<ActivityOptions['retry']>> {
  yield { ...retry, maximumAttempts: firstAttempts };
  const interval = retry?.maximumInterval;
  for (;;) yield { ...retry, ...(interval !== undefined && { initialInterval: interval }), maximumAttempts: laterAttempts };
}

/** True when the activity failed only because a series of attempts is over. */
function mayPass(error: unknown): boolean {
  return error instanceof ActivityFailure && error.retryState === 'MAXIMUM_ATTEMPTS_REACHED';
}
