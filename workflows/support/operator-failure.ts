import { ApplicationFailure, ContinueAsNew, isCancellation } from '@temporalio/workflow';

/**
 * What an operator should see of an error: the failure that an activity or a child threw, with its type and its message,
 * rather than "activity task failed" and the reason some layers below. Cancellation stays what it is.
 *
 * @param where put in front of the message.
 */
export function operatorFailure(error: unknown, where?: string): unknown {
  // The way in which a run hands over to the next is an error to the SDK.
  if (error instanceof ContinueAsNew) return error;
  if (isCancellation(error) || (error instanceof ApplicationFailure && where === undefined)) return error;
  const cause = firstApplicationFailure(error);
  const message = cause?.message ?? (error instanceof Error ? error.message : String(error));
  return ApplicationFailure.create({
    message: where === undefined ? message : `${where}: ${message}`,
    nonRetryable: true,
    ...(cause?.type != null && { type: cause.type }),
    ...(error instanceof Error && { cause: error }),
  });
}

/** The same as a status keeps it. */
export function failureSummary(error: unknown): { type: string; message: string } {
  const failure = operatorFailure(error);
  const type = failure instanceof ApplicationFailure ? failure.type : undefined;
  const message = failure instanceof Error ? failure.message : String(failure);
  return { type: type ?? 'unknown', message: message.slice(0, maxMessage) };
}

/** A status is short, and its failures are cut at so many characters. */
const maxMessage = 2_000;

function firstApplicationFailure(error: unknown): ApplicationFailure | undefined {
  for (let current = error; current instanceof Error; current = current.cause) {
    if (current instanceof ApplicationFailure) return current;
  }
  return undefined;
}
