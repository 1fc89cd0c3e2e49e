import { TemporalUnreachable } from '../../temporal/connection-config.ts';
import {
  QueryNotRegisteredError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  isGrpcServiceError,
} from '@temporalio/client';

/** What the command ends with. Scripts rely on these. */
export const exitCodes = {
  /** Done. */
  ok: 0,
  /** The migration failed, or something nobody thought of. */
  failed: 1,
  /** The command line makes no sense. */
  usage: 2,
  /** A message was refused, a check blocks, or another run is open; nothing was changed. */
  refused: 3,
  /** There is no such migration. */
  notFound: 4,
  /** Temporal, or a worker that answers, cannot be reached. */
  unreachable: 5,
} as const;

/** An end of the command with a code of its own. */
export class Exit extends Error {
  readonly code: number;

  constructor(code: keyof typeof exitCodes, message: string) {
    super(message);
    this.code = exitCodes[code];
  }
}

/** What an error means to whoever typed the command, and the code that tells it to scripts. */
export function explain(error: unknown, cluster: string): { message: string; code: number } {
  if (error instanceof Exit) return { message: error.message, code: error.code };
  if (error instanceof WorkflowNotFoundError) {
    return { message: `there is no migration of "${cluster}", or it has ended`, code: exitCodes.notFound };
  }
  if (error instanceof WorkflowExecutionAlreadyStartedError) {
    return { message: `a run for "${cluster}" is open already`, code: exitCodes.refused };
  }
  if (error instanceof WorkflowUpdateFailedError) {
    return { message: `refused: ${messageOf(error)}`, code: exitCodes.refused };
  }
  if (error instanceof WorkflowFailedError) return { message: messageOf(error), code: exitCodes.failed };
  if (error instanceof QueryNotRegisteredError || isGrpcServiceError(error)) {
    const details = isGrpcServiceError(error) ? error.details : error.message;
    return {
      message: `no answer: ${details}. Is Temporal reached, and does a worker run?`,
      code: exitCodes.unreachable,
    };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { message, code: error instanceof TemporalUnreachable ? exitCodes.unreachable : exitCodes.failed };
}

/** What the workflow said; of other errors, what the client's library says. */
function messageOf(error: WorkflowUpdateFailedError | WorkflowFailedError): string {
  return error.cause?.message ?? error.message;
}
