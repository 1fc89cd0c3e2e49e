import { ApplicationFailure, ContinueAsNew, isCancellation } from '@temporalio/workflow';

/**
 * Returns the failure that an operator should see: the one that an activity or a child threw, with its type and
 * message, instead of "activity task failed" with the reason some layers below. Cancellations are returned unchanged.
 *
 * @param where prefix of the message.
 */
export function operatorFailure(error: unknown, where?: string): unknown {
  // The SDK implements continue-as-new as an error.
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

/** Returns the failure in the form that a status keeps. */
export function failureSummary(error: unknown): { type: string; message: string } {
  const failure = operatorFailure(error);
  const type = failure instanceof ApplicationFailure ? failure.type : undefined;
  const message = failure instanceof Error ? failure.message : String(failure);
  return { type: type ?? 'unknown', message: message.slice(0, maxMessage) };
}

/** Maximum length of a failure's message in the status, in characters. */
const maxMessage = 2_000;

function firstApplicationFailure(error: unknown): ApplicationFailure | undefined {
  for (let current = error; current instanceof Error; current = current.cause) {
    if (current instanceof ApplicationFailure) return current;
  }
  return undefined;
}
