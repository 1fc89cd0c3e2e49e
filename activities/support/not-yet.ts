import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';

/**
 * Returns the failure of an activity that waits for something that may take days: Temporal starts the activity again
 * after a delay, and meanwhile the wait occupies no slot of a worker and adds nothing to the history.
 */
export function notYet(waitingFor: string, nextCheckMs: number): ApplicationFailure {
  return ApplicationFailure.create({
    type: 'NotYet',
    message: `waiting for ${waitingFor}`,
    nextRetryDelay: nextCheckMs,
    // Expected, so that it counts in no metric of failures.
    category: ApplicationFailureCategory.BENIGN,
  });
}
