import { AsyncLocalStorage } from 'node:async_hooks';
import { RequestRate, maxPendingRequests } from '../../activities/kubernetes/request-rate.ts';

const answered = () => Promise.resolve();

/** Returns a rate whose first slot is used up: further requests have to wait. */
async function usedUp(perSecond: number, slot: number): Promise<RequestRate> {
  const rate = new RequestRate(perSecond);
  await Promise.all(Array.from({ length: slot }, () => rate.schedule('GET', undefined, answered)));
  return rate;
}

it('does not exceed the requested rate', async () => {
  const rate = new RequestRate(100);
  const begin = performance.now();
  await Promise.all(Array.from({ length: 35 }, () => rate.schedule('GET', undefined, answered)));
  // Ten at once, and ten in each following slot of 100 ms.
  expect(performance.now() - begin).toBeGreaterThan(250);
});

it('sends changes before reads', async () => {
  const rate = await usedUp(100, 10);
  const passed: string[] = [];
  const scheduleRequest = (name: string, method: string) =>
    rate.schedule(method, undefined, () => Promise.resolve(passed.push(name)));
  await Promise.all([
    scheduleRequest('first look', 'GET'),
    scheduleRequest('second look', 'GET'),
    scheduleRequest('eviction', 'POST'),
  ]);
  expect(passed).toEqual(['eviction', 'first look', 'second look']);
});

it('sends requests one by one at a slow rate', async () => {
  const rate = await usedUp(1, 1);
  const begin = performance.now();
  await rate.schedule('PATCH', undefined, answered);
  expect(performance.now() - begin).toBeGreaterThan(500);
});

it('does not delay cancelled requests', async () => {
  const rate = await usedUp(1, 1);
  const cancelled = new AbortController();
  const waiting = rate.schedule('GET', cancelled.signal, answered);
  cancelled.abort(new Error('cancelled'));
  await expect(waiting).rejects.toThrow('cancelled');
});

it('limits the number of requests without an answer', async () => {
  const rate = new RequestRate(10_000);
  const answers: (() => void)[] = [];
  const requests = Array.from({ length: maxPendingRequests + 5 }, () =>
    rate.schedule('GET', undefined, () => new Promise<void>((answer) => answers.push(answer)))
  );
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(answers).toHaveLength(maxPendingRequests);
  answers[0]?.();
  await requests[0];
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(answers).toHaveLength(maxPendingRequests + 1);
  while (answers.length > 0) {
    answers.pop()?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(requests);
});

it('sends each request in the context of its own activity', async () => {
  const activity = new AsyncLocalStorage<number>();
  const rate = await usedUp(100, 10);
  const sendRequest = (id: number) =>
    activity.run(id, () => rate.schedule('GET', undefined, () => Promise.resolve(activity.getStore())));
  expect(await Promise.all([sendRequest(1), sendRequest(2), sendRequest(3)])).toEqual([1, 2, 3]);
});
