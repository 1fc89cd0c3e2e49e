import { ApiException } from '@kubernetes/client-node';
import { asFailure, errorMessage } from '../../activities/kubernetes/errors.ts';
import { failure } from '../../activities/support/failures.ts';

function apiError(code: number, message = 'said so'): ApiException<string> {
  return new ApiException(code, 'noise', JSON.stringify({ message }), { authorization: 'secret' });
}

describe('asFailure', () => {
  it.each([
    [401, 'ClusterUnreachable', true],
    [403, 'KubernetesForbidden', true],
    [422, 'KubernetesInvalid', true],
    [409, 'KubernetesError', false],
    [429, 'KubernetesError', false],
    [503, 'KubernetesError', false],
  ])('status %s', (code, type, nonRetryable) => {
    expect(asFailure(apiError(code), 'do it')).toMatchObject({ type, nonRetryable });
  });

  it("reports the request and the server's message, but no headers", () => {
    const { message } = asFailure(apiError(403), 'read pods');
    expect(message).toBe('failed to read pods: said so; give the worker this permission');
  });

  it('reports a missing answer as an unreachable cluster', () => {
    const cause = Object.assign(new Error('connect failed'), { code: 'ECONNREFUSED' });
    const error = asFailure(new TypeError('fetch failed', { cause }), 'read');
    expect(error).toMatchObject({ type: 'ClusterUnreachable', nonRetryable: false });
    expect(error.message).toContain('fetch failed: connect failed (ECONNREFUSED)');
  });

  it('returns a failure unchanged', () => {
    const known = failure('DrainBlocked', 'x');
    expect(asFailure(known, 'do it')).toBe(known);
  });
});

it('describes a body that is not valid JSON', () => {
  expect(errorMessage(new ApiException(502, 'noise', '<html>', {}))).toBe('status 502');
});
