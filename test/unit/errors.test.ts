import { ApiException } from '@kubernetes/client-node';
import { asFailure, messageOf } from '../../activities/kubernetes/errors.ts';
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

  it('tells what was tried and what the server said, and nothing of the headers', () => {
    const { message } = asFailure(apiError(403), 'read pods');
    expect(message).toBe('failed to read pods: said so; give the worker this permission');
  });

  it('takes what is no answer for a cluster that cannot be reached', () => {
    const cause = Object.assign(new Error('connect failed'), { code: 'ECONNREFUSED' });
    const error = asFailure(new TypeError('fetch failed', { cause }), 'read');
    expect(error).toMatchObject({ type: 'ClusterUnreachable', nonRetryable: false });
    expect(error.message).toContain('fetch failed: connect failed (ECONNREFUSED)');
  });

  it('leaves a failure as it is', () => {
    const known = failure('DrainBlocked', 'x');
    expect(asFailure(known, 'do it')).toBe(known);
  });
});

it('has words for a body that is no JSON', () => {
  expect(messageOf(new ApiException(502, 'noise', '<html>', {}))).toBe('status 502');
});
