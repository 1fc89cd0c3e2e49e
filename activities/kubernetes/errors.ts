import { ApiException } from '@kubernetes/client-node';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { asyncLocalStorage } from '@temporalio/activity';
import { failure } from '../support/failures.ts';
import { beatRegularly } from '../support/heartbeat.ts';

/** Status code of an API error; undefined for anything else, such as a connection that failed. */
export function statusOf(error: unknown): number | undefined {
  return error instanceof ApiException ? error.code : undefined;
}

/** A header of an API server's answer. */
export function headerOf(error: unknown, name: string): string | undefined {
  return error instanceof ApiException ? (error.headers as Record<string, string | undefined>)[name] : undefined;
}

/** What the API server said, without the headers and the body that the library's own message holds. */
export function messageOf(error: unknown): string {
  if (error instanceof ApiException) {
    return statusBody(error)?.message ?? `status ${error.code}`;
  }
  const parts: string[] = [];
  for (let current: unknown = error; current instanceof Error; current = current.cause) {
    const code = (current as NodeJS.ErrnoException).code;
    parts.push(
      typeof code === 'string' && !current.message.includes(code) ? `${current.message} (${code})` : current.message
    );
  }
  return parts.join(': ').slice(0, 500) || String(error).slice(0, 500);
}

/** The Status object that an API error carries. */
export function statusBody(
  error: unknown
): { message?: string; details?: { causes?: { reason?: string; message?: string }[] } } | undefined {
  if (!(error instanceof ApiException)) return undefined;
  const body: unknown = error.body;
  try {
    const parsed: unknown = typeof body === 'string' ? JSON.parse(body) : body;
    return typeof parsed === 'object' && parsed !== null ? parsed : undefined;
  } catch {
    return undefined;
  }
}

/** Turns whatever a call threw into one of this service's failures; `doing` says what was tried. */
export function asFailure(error: unknown, doing: string): Error {
  if (error instanceof ApplicationFailure || error instanceof CancelledFailure) return error;
  if (asyncLocalStorage.getStore()?.cancellationSignal.aborted === true)
    return new CancelledFailure(`cancelled while trying to ${doing}`);
  const said = `cannot ${doing}: ${messageOf(error)}`;
  const status = statusOf(error);
  switch (status) {
    case undefined:
      return failure('ClusterUnreachable', `${said}; check that the worker reaches the API server`, {
        retryable: true,
      });
    case 401:
      return failure('ClusterUnreachable', `${said}; the worker's credentials are not accepted`);
    case 403:
      return failure('KubernetesForbidden', `${said}; give the worker this permission`);
    case 400:
    case 405:
    case 422:
      return failure('KubernetesInvalid', said);
    default:
      return failure('KubernetesError', said, { retryable: true });
  }
}

/** Wraps an activity: everything it throws is one of this service's failures, and it heartbeats while it runs. */
export function withFailures<Args extends unknown[], Result>(
  doing: string,
  activity: (...args: Args) => Promise<Result>
): (...args: Args) => Promise<Result> {
  return async (...args) => {
    const stop = beatRegularly();
    try {
      return await activity(...args);
    } catch (error) {
      throw asFailure(error, doing);
    } finally {
      stop();
    }
  };
}

/** Awaits a read, with undefined for what is not there. */
export async function ifFound<T>(read: Promise<T>): Promise<T | undefined> {
  try {
    return await read;
  } catch (error) {
    if (statusOf(error) === 404) return undefined;
    throw error;
  }
}

/** Awaits a call about a kind of objects, with undefined when the cluster does not know the kind. */
export async function ifKnown<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isUnknownKind(error)) return undefined;
    throw error;
  }
}

/** True when the client library found no such kind in the cluster's discovery. */
export function isUnknownKind(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('Unrecognized API version and kind');
}
