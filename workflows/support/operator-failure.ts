import {
  ActivityFailure,
  ApplicationFailure,
  ChildWorkflowFailure,
  TemporalFailure,
  TerminatedFailure,
  TimeoutFailure,
  isCancellation,
} from '@temporalio/workflow';
import type { FailureType } from '../../model/failure-types.ts';

/**
 * Returns the failure that an operator should see: the one that an activity or a child threw, with its type and
 * message, instead of "activity task failed" with the reason some layers below. Cancellations are returned unchanged.
 * So is everything that is not a failure of Temporal: continue-as-new, and bugs, which fail the workflow task, so that
 * the migration stands still until a corrected build continues it.
 *
 * @param where prefix of the message.
 */
export function operatorFailure(error: unknown, where?: string): unknown {
  if (!(error instanceof TemporalFailure) || isCancellation(error)) return error;
  if (error instanceof ApplicationFailure && where === undefined) return error;
  const { type, message } = describe(error);
  return ApplicationFailure.create({
    message: where === undefined ? message : `${where}: ${message}`,
    nonRetryable: true,
    ...(type !== undefined && { type }),
    cause: error,
  });
}

/** Returns the failure in the form that a status keeps. */
export function failureSummary(error: unknown): { type: string; message: string } {
  const failure = operatorFailure(error);
  const type = failure instanceof ApplicationFailure ? failure.type : undefined;
  const message = failure instanceof Error ? failure.message : String(failure);
  return { type: type ?? 'unknown', message: message.slice(0, maxMessage) };
}

/** Maximum length of a failure's message in the status, in characters. */
const maxMessage = 2_000;

function describe(error: TemporalFailure): { type?: string; message: string } {
  const application = findCause(error, ApplicationFailure);
  if (application !== undefined) {
    return { message: application.message, ...(application.type != null && { type: application.type }) };
  }
  const child = findCause(error, ChildWorkflowFailure);
  if (child !== undefined && findCause(error, TerminatedFailure) !== undefined) {
    const { workflowId = '' } = child.execution;
    return typed('NodeRunTerminated', `the workflow ${workflowId} was terminated; check the node, then retry it`);
  }
  const activity = findCause(error, ActivityFailure);
  const step = activity === undefined ? 'a step' : `the activity ${activity.activityType}`;
  const timeout = findCause(error, TimeoutFailure);
  if (timeout !== undefined) {
    const kind = (timeout.timeoutType ?? 'unknown').toLowerCase().replaceAll('_', '-');
    return typed('StepTimedOut', `${step} did not answer in time (${kind} timeout); check the log of its worker`);
  }
  const message = deepestMessage(error);
  if (/exceeds? (the )?size limit|too large/i.test(message)) {
    return typed('TooLarge', `${step} has a result that is larger than Temporal accepts: ${message}`);
  }
  return typed('StepFailed', `${step} failed: ${message}`);
}

function typed(type: FailureType, message: string): { type: FailureType; message: string } {
  return { type, message };
}

function findCause<T extends Error>(error: Error, type: abstract new (...args: never[]) => T): T | undefined {
  for (let current: unknown = error; current instanceof Error; current = current.cause) {
    if (current instanceof type) return current;
  }
  return undefined;
}

function deepestMessage(error: Error): string {
  let { message } = error;
  for (let current: unknown = error; current instanceof Error; current = current.cause) message = current.message;
  return message;
}
