import { TemporalUnreachable } from '../../temporal/connection-config.ts';
import {
  QueryNotRegisteredError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  isGrpcServiceError,
} from '@temporalio/client';

/** Exit codes of the command. Scripts rely on these. */
export const exitCodes = {
  /** Success. */
  ok: 0,
  /** The migration failed, or an unexpected error occurred. */
  failed: 1,
  /** Invalid usage. */
  usage: 2,
  /** A message was refused, a check blocks, or another run is open; nothing was changed. */
  refused: 3,
  /** The migration does not exist. */
  notFound: 4,
  /** Temporal is unreachable, or no worker answers. */
  unreachable: 5,
} as const;

/** An error with an exit code of its own. */
export class CliError extends Error {
  readonly code: number;

  constructor(code: keyof typeof exitCodes, message: string) {
    super(message);
    this.code = exitCodes[code];
  }
}

/** Returns the text of an error for the user of the command, and the exit code for scripts. */
export function describeError(error: unknown, cluster: string): { message: string; code: number } {
  if (error instanceof CliError) return { message: error.message, code: error.code };
  if (error instanceof WorkflowNotFoundError) {
    return {
      message: `no migration of "${cluster}" is open: it was never started, or it has ended`,
      code: exitCodes.notFound,
    };
  }
  if (error instanceof WorkflowExecutionAlreadyStartedError) {
    return {
      message: `another run for "${cluster}" is still open; wait for its end, or abort it`,
      code: exitCodes.refused,
    };
  }
  if (error instanceof WorkflowUpdateFailedError) {
    return { message: `refused: ${failureMessage(error)}`, code: exitCodes.refused };
  }
  if (error instanceof WorkflowFailedError) return { message: failureMessage(error), code: exitCodes.failed };
  if (error instanceof QueryNotRegisteredError || isGrpcServiceError(error)) {
    const details = isGrpcServiceError(error) ? error.details : error.message;
    return {
      message: `no answer: ${details}. Check that Temporal is reachable and that a worker is running`,
      code: exitCodes.unreachable,
    };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { message, code: error instanceof TemporalUnreachable ? exitCodes.unreachable : exitCodes.failed };
}

/** Returns the workflow's message; for other errors, the message of the client library. */
function failureMessage(error: WorkflowUpdateFailedError | WorkflowFailedError): string {
  return error.cause?.message ?? error.message;
}
