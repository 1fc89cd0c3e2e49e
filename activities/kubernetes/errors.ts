import { ApiException } from '@kubernetes/client-node';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { asyncLocalStorage } from '@temporalio/activity';
import { failure } from '../support/failures.ts';
import { startHeartbeat } from '../support/heartbeat.ts';
import { isConnectionProblem } from './connection-problems.ts';

/** Number of attempts of an activity after which an unexpected error is permanent, so that a person is asked. */
const maxUnexpectedAttempts = 5;

/** Returns the status code of an API error; undefined for any other error, such as a failed connection. */
export function httpStatus(error: unknown): number | undefined {
  return error instanceof ApiException ? error.code : undefined;
}

/** Returns a header of an API server's response. */
export function responseHeader(error: unknown, name: string): string | undefined {
  return error instanceof ApiException ? (error.headers as Record<string, string | undefined>)[name] : undefined;
}

/** Returns the API server's message, without the headers and the body that the library's own message contains. */
export function errorMessage(error: unknown): string {
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

/** Returns the Status object that an API error carries. */
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

/**
 * Converts any error of a call into one of this service's failures.
 * @param operation what was attempted, as verb and object, for the message.
 */
export function asFailure(error: unknown, operation: string): Error {
  if (error instanceof ApplicationFailure || error instanceof CancelledFailure) return error;
  if (asyncLocalStorage.getStore()?.cancellationSignal.aborted === true)
    return new CancelledFailure(`cancelled while trying to ${operation}`);
  const message = `failed to ${operation}: ${errorMessage(error)}`;
  const status = httpStatus(error);
  switch (status) {
    case undefined:
      return isConnectionProblem(error)
        ? failure('ClusterUnreachable', `${message}; check that the worker can reach the API server`, {
            retryable: true,
          })
        : unexpectedFailure(error, message);
    case 401:
      return failure('CredentialsRejected', `${message}; renew the credentials in the worker's kubeconfig`, {
        retryable: true,
      });
    case 403:
      return forbiddenFailure(error, message);
    case 400:
    case 405:
    case 422:
      return failure('KubernetesInvalid', message);
    case 429:
    case 502:
    case 503:
    case 504:
      return failure('ClusterUnreachable', `${message}; check that the API server runs and is not overloaded`, {
        retryable: true,
      });
    default:
      return failure('KubernetesError', `${message}; ${adviceFor(status)}`, { retryable: true });
  }
}

/** Returns what to do about an answer of the API server that may be another one in the next attempt. */
function adviceFor(status: number): string {
  if (status === 404) return 'the object was deleted meanwhile: check who deletes it';
  if (status === 409) return 'another program changes the same object: check which one';
  return "check the API server's log, and the webhooks that it calls";
}

/**
 * Creates the failure of an error that no code expects. It is retried a few times, as an answer that was cut off can
 * cause one too, and then ends the step: a bug does not disappear by waiting.
 */
function unexpectedFailure(error: unknown, message: string): ApplicationFailure {
  // Outside an activity, as in a startup check, nothing is retried.
  const attempt = asyncLocalStorage.getStore()?.info.attempt ?? maxUnexpectedAttempts;
  const kind = error instanceof Error ? error.name : typeof error;
  const text = `${message} (${kind}); this is an unexpected error of the worker, not of the network: report it with its log`;
  return failure('UnexpectedError', text, { retryable: attempt < maxUnexpectedAttempts, cause: place(error) });
}

/** Returns an error with the place of another one, and with a message of limited length. */
function place(error: unknown): Error {
  const cause = new Error(errorMessage(error));
  const frames = error instanceof Error ? (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line)) : [];
  cause.stack = frames.slice(0, 10).join('\n');
  return cause;
}

/** Message of the API server when its authorizer refuses a request (k8s.io/apiserver endpoints/handlers/responsewriters). */
const missingPermission =
  /User "([^"]*)" cannot (\S+) resource "([^"]*)" in API group "([^"]*)"(?: in the namespace "([^"]*)")?/;

/**
 * Creates the failure of a request that the API server does not allow. It is retryable: an operator can grant a
 * permission within minutes, while a migration that ends in its middle has to be started, planned and approved again.
 */
function forbiddenFailure(error: unknown, message: string): ApplicationFailure {
  if (statusBody(error)?.details?.causes?.some(({ reason }) => reason === 'NamespaceTerminating') === true)
    return failure('KubernetesError', `${message}; the step is retried after its deletion`, { retryable: true });
  const [match, user, verb, resource, group, namespace] = missingPermission.exec(message) ?? [];
  const inGroup = group === undefined || group === '' ? '' : `.${group}`;
  const where = namespace === undefined ? 'in the whole cluster' : `in namespace ${namespace}`;
  const advice =
    match === undefined
      ? 'change what refuses it, such as an admission webhook, a quota, or a missing permission of the worker'
      : `grant the permission "${verb} ${resource}${inGroup}" ${where} to ${user}`;
  return failure('KubernetesForbidden', `${message}; ${advice}`, { retryable: true });
}

/** Wraps an activity: it heartbeats while it runs, and every error becomes one of this service's failures. */
export function withFailures<Args extends unknown[], Result>(
  operation: string,
  activity: (...args: Args) => Promise<Result>
): (...args: Args) => Promise<Result> {
  return async (...args) => {
    const stop = startHeartbeat();
    try {
      return await activity(...args);
    } catch (error) {
      throw asFailure(error, operation);
    } finally {
      stop();
    }
  };
}

/**
 * Awaits a read.
 * @returns undefined when the object does not exist.
 */
export async function ifFound<T>(read: Promise<T>): Promise<T | undefined> {
  try {
    return await read;
  } catch (error) {
    if (httpStatus(error) === 404) return undefined;
    throw error;
  }
}

/**
 * Awaits a call about a kind of objects.
 * @returns undefined when the cluster does not know the kind.
 */
export async function ifKnown<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isUnknownKind(error)) return undefined;
    throw error;
  }
}

/** Returns true when the client library found no such kind in the cluster's discovery. */
export function isUnknownKind(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('Unrecognized API version and kind');
}
