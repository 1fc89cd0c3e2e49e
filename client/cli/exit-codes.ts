import {
  QueryNotRegisteredError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
} from '@temporalio/client';
import { NamespaceNotFoundError } from '@temporalio/common';
import { TemporalUnreachable } from '../../temporal/connection-config.ts';
import { NoAnswerError, NoWorkerError, UnreadableAnswerError, WorkflowEndedError } from '../errors.ts';
import { fleetPrefix } from '../../workflows/messages.ts';
import { grpcCause } from '../time-limit.ts';

/** Exit codes of the command. Scripts rely on these. */
export const exitCodes = {
  /** Success. */
  ok: 0,
  /** The migration failed, or an unexpected error occurred. */
  failed: 1,
  /** Invalid usage, or an invalid configuration of the connection. */
  usage: 2,
  /** A message was refused, a check blocks, or another run is open; nothing was changed. */
  refused: 3,
  /** The migration, or the namespace, does not exist; or the migration has ended and receives no messages. */
  notFound: 4,
  /** Temporal is unreachable or rejects the connection, or no worker answers. */
  unreachable: 5,
  /** The command was interrupted (SIGINT). */
  interrupted: 130,
} as const;

/** Codes of gRPC with which a server refuses every request of this client. */
const rejectedConnection = { permissionDenied: 7, unauthenticated: 16 };

/** Codes of gRPC for a server that may answer later: too many requests, a workflow task that fails, no server. */
const answersLater = { deadlineExceeded: 4, resourceExhausted: 8, failedPrecondition: 9, unavailable: 14 };

/** An error with an exit code of its own. */
export class CliError extends Error {
  readonly code: number;

  constructor(code: keyof typeof exitCodes, message: string) {
    super(message);
    this.code = exitCodes[code];
  }
}

/** What a command is about, for messages. */
export interface Subject {
  /** Name of the cluster or fleet. */
  name: string;
  workflowId: string;
}

interface Description {
  message: string;
  code: number;
}

/** Returns the text of an error for the user of the command, and the exit code for scripts. */
export function describeError(error: unknown, subject: Subject): Description {
  if (error instanceof CliError) return { message: error.message, code: error.code };
  return (
    describeMissing(error, subject) ?? describeRefusal(error, subject) ?? describeSilence(error) ?? otherError(error)
  );
}

function describeMissing(error: unknown, { name, workflowId }: Subject): Description | undefined {
  const code = exitCodes.notFound;
  if (error instanceof WorkflowNotFoundError) {
    const isFleet = workflowId.startsWith(fleetPrefix);
    const [kind, type] = isFleet ? ['fleet', 'fleetMigration'] : ['migration of', 'clusterMigration'];
    const advice = `temporal workflow list --query "WorkflowType = '${type}'" lists ${isFleet ? 'fleets' : 'migrations'}`;
    return { message: `no ${kind} "${name}" (${workflowId}): check the name; ${advice}`, code };
  }
  if (error instanceof NamespaceNotFoundError) {
    return {
      message: `Temporal has no namespace "${error.namespace}": check --namespace and TEMPORAL_NAMESPACE`,
      code,
    };
  }
  return error instanceof WorkflowEndedError ? { message: error.message, code } : undefined;
}

function describeRefusal(error: unknown, { name }: Subject): Description | undefined {
  const code = exitCodes.refused;
  if (error instanceof WorkflowExecutionAlreadyStartedError) {
    return { message: `another run for "${name}" is still open; wait for its end, or abort it`, code };
  }
  if (error instanceof WorkflowUpdateFailedError) return { message: `refused: ${failureMessage(error)}`, code };
  return undefined;
}

function describeSilence(error: unknown): Description | undefined {
  const code = exitCodes.unreachable;
  const isOwn =
    error instanceof NoWorkerError ||
    error instanceof NoAnswerError ||
    error instanceof UnreadableAnswerError ||
    error instanceof TemporalUnreachable;
  if (isOwn) return { message: error.message, code };
  const cause = grpcCause(error);
  if (cause === undefined) return undefined;
  if (Object.values(rejectedConnection).includes(cause.code)) {
    return { message: `Temporal rejects the request: ${cause.details}; check the credentials and the namespace`, code };
  }
  if (!Object.values(answersLater).includes(cause.code)) return undefined;
  return {
    message: `no answer: ${cause.details}. Check that Temporal is reachable and that a worker is running`,
    code,
  };
}

function otherError(error: unknown): Description {
  const code = exitCodes.failed;
  if (error instanceof WorkflowFailedError) return { message: failureMessage(error), code };
  if (error instanceof QueryNotRegisteredError) {
    return { message: `the worker does not know the query: ${error.message}; check the workflow ID`, code };
  }
  const details = grpcCause(error)?.details;
  const message = error instanceof Error ? error.message : String(error);
  return { message: details === undefined ? message : `${message}: ${details}`, code };
}

/** Returns the workflow's message; for other errors, the message of the client library. */
function failureMessage(error: WorkflowUpdateFailedError | WorkflowFailedError): string {
  return error.cause?.message ?? error.message;
}
