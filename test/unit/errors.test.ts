import { ApiException } from '@kubernetes/client-node';
import { asFailure, errorMessage } from '../../activities/kubernetes/errors.ts';
import { MockActivityEnvironment } from '@temporalio/testing';
import { failure } from '../../activities/support/failures.ts';

function apiError(code: number, message = 'said so'): ApiException<string> {
  return new ApiException(code, 'noise', JSON.stringify({ message }), { authorization: 'secret' });
}

function withCode(code: string): Error {
  return Object.assign(new Error(`${code}: failed`), { code });
}

/** Returns the error of a recursion without a limit. */
function overflow(): unknown {
  const recurse = (): number => 1 + recurse();
  try {
    return recurse();
  } catch (error) {
    return error;
  }
}

function syntaxError(): unknown {
  try {
    return JSON.parse('<html>');
  } catch (error) {
    return error;
  }
}

describe('asFailure', () => {
  it.each([
    [401, 'CredentialsRejected', false],
    [403, 'KubernetesForbidden', false],
    [422, 'KubernetesInvalid', true],
    [409, 'KubernetesError', false],
    [404, 'KubernetesError', false],
    [500, 'KubernetesError', false],
    [429, 'ClusterUnreachable', false],
    [502, 'ClusterUnreachable', false],
    [503, 'ClusterUnreachable', false],
    [504, 'ClusterUnreachable', false],
  ])('status %s', (code, type, nonRetryable) => {
    expect(asFailure(apiError(code), 'do it')).toMatchObject({ type, nonRetryable });
  });

  it("reports the request and the server's message, but no headers", () => {
    const { message } = asFailure(apiError(500), 'read pods');
    expect(message).toBe("failed to read pods: said so; check the API server's log, and the webhooks that it calls");
  });

  it.each([404, 409, 429, 500, 503])('status %s names what to do', (code) => {
    expect(asFailure(apiError(code), 'do it').message).toMatch(/^failed to do it: said so; .*check/);
  });

  it.each([
    [
      'pods is forbidden: User "w" cannot list resource "pods" in API group "" at the cluster scope',
      'grant the permission "list pods" in the whole cluster to w',
    ],
    [
      'daemonsets.apps "canal" is forbidden: User "system:serviceaccount:a:w" cannot delete resource "daemonsets" in API group "apps" in the namespace "kube-system"',
      'grant the permission "delete daemonsets.apps" in namespace kube-system to system:serviceaccount:a:w',
    ],
    ['pods "x" is forbidden: exceeded quota: compute', 'change what refuses it, such as an admission webhook, a quota'],
  ])('names the remedy of: %s', (answer, remedy) => {
    const error = asFailure(apiError(403, answer), 'do it');
    expect(error).toMatchObject({ type: 'KubernetesForbidden', nonRetryable: false });
    expect(error.message).toContain(`failed to do it: ${answer}; ${remedy}`);
  });

  it('does not report a namespace that is being deleted as a missing permission', () => {
    const body = { message: 'said so', details: { causes: [{ reason: 'NamespaceTerminating' }] } };
    const error = asFailure(new ApiException(403, 'noise', JSON.stringify(body), {}), 'do it');
    expect(error).toMatchObject({ type: 'KubernetesError', nonRetryable: false });
  });

  it('reports a missing answer as an unreachable cluster', () => {
    const cause = Object.assign(new Error('connect failed'), { code: 'ECONNREFUSED' });
    const error = asFailure(new TypeError('fetch failed', { cause }), 'read');
    expect(error).toMatchObject({ type: 'ClusterUnreachable', nonRetryable: false });
    expect(error.message).toContain('fetch failed: connect failed (ECONNREFUSED)');
  });

  it.each([
    ['an answer that was cut off', new TypeError('terminated', { cause: withCode('UND_ERR_SOCKET') })],
    ['a request that exceeded its timeout', new DOMException('The operation timed out', 'TimeoutError')],
    ['a cancelled request', new DOMException('This operation was aborted', 'AbortError')],
    ['a certificate that has expired', withCode('CERT_HAS_EXPIRED')],
    ['an address that cannot be resolved', new Error('lookup', { cause: withCode('EAI_AGAIN') })],
  ])('reports %s as an unreachable cluster', (_title, error) => {
    expect(asFailure(error, 'read')).toMatchObject({ type: 'ClusterUnreachable', nonRetryable: false });
  });

  it.each([
    ['a RangeError, such as that of a selector with 20,000 parentheses', overflow()],
    ['a TypeError', new TypeError("Cannot read properties of undefined (reading 'a')")],
    ['a file that is missing', withCode('ENOENT')],
    ['an answer that is not JSON', syntaxError()],
    ['something that is not an Error', 'a text'],
  ])('never reports %s as an unreachable cluster, and retries it a few times only', async (_title, error) => {
    const inAttempt = (attempt: number): Promise<Error> =>
      new MockActivityEnvironment({ attempt }).run(() => Promise.resolve(asFailure(error, 'compare policies')));

    const [first, last] = [await inAttempt(1), await inAttempt(5)];

    expect(first).toMatchObject({ type: 'UnexpectedError', nonRetryable: false });
    expect(last).toMatchObject({ type: 'UnexpectedError', nonRetryable: true });
    expect(last.message).toMatch(/^failed to compare policies: .* unexpected error of the worker, not of the network/);
    expect(asFailure(error, 'read')).toMatchObject({ nonRetryable: true });
  });

  it('keeps the place of an unexpected error, and not a long text of it', () => {
    const { cause } = asFailure(new TypeError('x'.repeat(100_000)), 'read') as { cause: Error };

    expect(cause.message).toHaveLength(500);
    expect(cause.stack).toMatch(/^\s+at .*errors\.test\.ts/);
  });

  it('returns a failure unchanged', () => {
    const known = failure('DrainBlocked', 'x');
    expect(asFailure(known, 'do it')).toBe(known);
  });
});

it('describes a body that is not valid JSON', () => {
  expect(errorMessage(new ApiException(502, 'noise', '<html>', {}))).toBe('status 502');
});
