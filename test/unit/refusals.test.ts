import { ApiException } from '@kubernetes/client-node';
import { parseRefusal } from '../../activities/node/drain.ts';

const now = Date.parse('2026-01-01T12:00:00Z');
const budget = (name: string) => ({
  metadata: { name, namespace: 'shop' },
  status: { disruptionsAllowed: 0, currentHealthy: 3, desiredHealthy: 3, expectedPods: 3 },
});
const answer = (code: number, body: object, headers: Record<string, string> = {}): ApiException<string> =>
  new ApiException(code, 'refused', JSON.stringify(body), headers);
const caused = (reason: string, message = ''): object => ({
  message: 'said',
  details: { causes: [{ reason, message }] },
});

it.each([
  ['a removed pod', answer(404, {}), [], 'gone'],
  ['another pod of that name', answer(409, {}), [], 'gone'],
  ['no answer', new Error('connect ECONNREFUSED'), [], 'unknown'],
  ['an error of the server', answer(500, { message: 'etcd' }), [budget('web')], 'unknown'],
])('reads %s', (_, error, budgets, expected) => {
  expect(parseRefusal(error, 'shop', budgets, now)).toBe(expected);
});

it.each([
  [
    'a missing permission',
    answer(403, { message: 'forbidden' }),
    [],
    'Waiting',
    'its eviction is refused: forbidden',
    3_000,
  ],
  [
    'a namespace that is deleted',
    answer(403, caused('NamespaceTerminating')),
    [],
    'Waiting',
    'its namespace is being deleted',
    3_000,
  ],
  [
    'a budget',
    answer(429, caused('DisruptionBudget', 'needs 3')),
    [budget('web')],
    'DisruptionBudget',
    'PodDisruptionBudget shop/web allows 0 disruptions',
    3_000,
  ],
  [
    'a budget that has gone meanwhile',
    answer(429, caused('DisruptionBudget', 'needs 3')),
    [],
    'DisruptionBudget',
    'needs 3',
    3_000,
  ],
  [
    'a budget, with a time',
    answer(429, caused('DisruptionBudget'), { 'retry-after': '10' }),
    [budget('web')],
    'DisruptionBudget',
    'shop/web',
    10_000,
  ],
  [
    'a server that is busy',
    answer(429, { message: 'too many requests' }, { 'retry-after': '1' }),
    [],
    'Waiting',
    'too many requests',
    1_000,
  ],
  [
    'several budgets',
    answer(500, { message: 'more than one' }),
    [budget('a'), budget('b')],
    'DisruptionBudget',
    'shop/a and shop/b',
    3_000,
  ],
])('waits for %s for the requested time', (_, error, budgets, kind, words, waitMs) => {
  const refusal = parseRefusal(error, 'shop', budgets, now);
  expect(refusal).toMatchObject({ kind, retryAtMs: now + waitMs });
  expect(JSON.stringify(refusal)).toContain(words);
});
