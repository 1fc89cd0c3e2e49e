import { setTimeout as sleep } from 'node:timers/promises';
import {
  WorkflowUpdateRPCTimeoutOrCancelledError,
  isGrpcCancelledError,
  isGrpcDeadlineError,
  isGrpcServiceError,
  type Client,
} from '@temporalio/client';
import { TemporalUnreachable } from '../temporal/connection-config.ts';

/** Default time limit of a request, in ms. */
export const defaultTimeoutMs = 30_000;

/** Status codes of gRPC that this client distinguishes. */
export const grpcStatus = { deadlineExceeded: 4, notFound: 5, failedPrecondition: 9, unavailable: 14 } as const;

/** Time in ms by which the client library's own error, which says more, may differ from its deadline. */
const graceMs = 250;

/** Error of gRPC. */
interface GrpcError extends Error {
  code: number;
  details: string;
}

class TimeLimitExceeded extends Error {}

/** Returns the error of gRPC that caused an error of the client library; undefined when there is none. */
export function grpcCause(error: unknown): GrpcError | undefined {
  let cause = error;
  for (let depth = 0; depth < 5 && cause instanceof Error; depth++) {
    if (isGrpcServiceError(cause)) return cause;
    cause = cause.cause;
  }
  return undefined;
}

/** Returns whether an error means that there was no answer: the time limit was exceeded, or the server was away. */
export function isNoAnswer(error: unknown): boolean {
  return (
    error instanceof TimeLimitExceeded ||
    error instanceof WorkflowUpdateRPCTimeoutOrCancelledError ||
    isGrpcDeadlineError(error) ||
    grpcCause(error)?.code === grpcStatus.unavailable
  );
}

/**
 * Runs requests to Temporal that must have ended at a time.
 * @param endMs that time, in ms since the epoch.
 * @param noAnswer creates the error for a missing answer from its cause.
 */
export async function withTimeLimit<Result>(
  client: Client,
  endMs: number,
  work: () => Promise<Result>,
  noAnswer: (cause: unknown) => Error
): Promise<Result> {
  const ended = new AbortController();
  // A request that is repeated after an error may exceed the deadline by the pause before its repetition.
  const limit = sleep(Math.max(0, endMs - Date.now()) + graceMs, undefined, { signal: ended.signal }).then(() => {
    throw new TimeLimitExceeded('the time limit was exceeded');
  });
  try {
    return await Promise.race([client.withDeadline(endMs, work), limit]);
  } catch (error) {
    // The server ends a request at the same deadline, and may be first.
    const isCancelledByServer = isGrpcCancelledError(error) && Date.now() >= endMs - graceMs;
    throw isNoAnswer(error) || isCancelledByServer ? noAnswer(error) : error;
  } finally {
    ended.abort();
  }
}

/** Returns the error for a server that does not answer. */
export function unreachable(client: Client, cause: unknown): TemporalUnreachable {
  const { options } = client.connection as { options?: { address?: string } };
  return new TemporalUnreachable(options?.address, grpcCause(cause) ?? cause);
}

/**
 * Waits for something that may take long, as long as the server answers.
 * @param silenceMs time in ms after which a server that does not answer is unreachable.
 * @throws TemporalUnreachable when the server does not answer.
 */
export async function whileServerAnswers<Result>(
  client: Client,
  silenceMs: number,
  work: () => Promise<Result>
): Promise<Result> {
  const ended = new AbortController();
  try {
    return await Promise.race([work(), watchServer(client, silenceMs, ended.signal)]);
  } catch (error) {
    throw isNoAnswer(error) ? unreachable(client, error) : error;
  } finally {
    ended.abort();
  }
}

/** Sends a request to the server at intervals until it has not answered for some time. */
async function watchServer(client: Client, silenceMs: number, ended: AbortSignal): Promise<never> {
  const pollIntervalMs = silenceMs / 5;
  let answeredAtMs = Date.now();
  for (;;) {
    await sleep(pollIntervalMs, undefined, { signal: ended });
    const silence = await findSilence(client, Math.max(answeredAtMs + silenceMs, Date.now() + pollIntervalMs));
    if (silence === undefined) answeredAtMs = Date.now();
    else if (Date.now() >= answeredAtMs + silenceMs) throw silence;
  }
}

/** Returns the error for a server that does not answer; undefined for any answer, which includes a refusal. */
async function findSilence(client: Client, endMs: number): Promise<TemporalUnreachable | undefined> {
  const ask = () => client.workflowService.getSystemInfo({});
  try {
    await withTimeLimit(client, endMs, ask, (cause) => unreachable(client, cause));
    return undefined;
  } catch (error) {
    return error instanceof TemporalUnreachable ? error : undefined;
  }
}
