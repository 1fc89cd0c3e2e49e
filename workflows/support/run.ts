import { scheduleActivity, type ActivityOptions } from '@temporalio/workflow';
import type { Activities } from '../../activities/index.ts';
import { activityOptions } from '../activity-options.ts';

/** Input of an activity. */
export type ActivityInput<Name extends keyof Activities> = Parameters<Activities[Name]>[0];

/** Result of an activity. */
export type ActivityResult<Name extends keyof Activities> = Awaited<ReturnType<Activities[Name]>>;

/** Runs an activity with its options; see {@link run}. */
export type RunActivity = <Name extends keyof Activities>(
  name: Name,
  summary: string,
  input: ActivityInput<Name>,
  retries?: Pick<ActivityOptions, 'retry'>
) => Promise<ActivityResult<Name>>;

/**
 * Runs an activity with its options.
 * @param summary verb and object, for the Web UI.
 * @param retries replaces the retries of its options.
 * @throws ActivityFailure, with the activity's own failure as its cause.
 */
export function run<Name extends keyof Activities>(
  name: Name,
  summary: string,
  input: ActivityInput<Name>,
  retries: Pick<ActivityOptions, 'retry'> = {}
): Promise<ActivityResult<Name>> {
  return scheduleActivity(name, [input], { ...activityOptions[name], ...retries, summary });
}
