import { RequestRate } from '../../activities/kubernetes/request-rate.ts';

/** A rate whose first slot is used up: what comes now has to wait. */
async function usedUp(perSecond: number, slot: number): Promise<RequestRate> {
  const rate = new RequestRate(perSecond);
  await Promise.all(Array.from({ length: slot }, () => rate.turn('GET')));
  return rate;
}

it('lets no more through than were asked for', async () => {
  const rate = new RequestRate(100);
  const begin = performance.now();
  await Promise.all(Array.from({ length: 35 }, () => rate.turn('GET')));
  // Ten at once, and ten in each slot of 100 ms after it.
  expect(performance.now() - begin).toBeGreaterThan(250);
});

it('lets changes through before looks', async () => {
  const rate = await usedUp(100, 10);
  const passed: string[] = [];
  const turn = (name: string, method: string) => rate.turn(method).then(() => passed.push(name));
  await Promise.all([turn('first look', 'GET'), turn('second look', 'GET'), turn('eviction', 'POST')]);
  expect(passed).toEqual(['eviction', 'first look', 'second look']);
});

it('lets a slow rate through one by one', async () => {
  const rate = await usedUp(1, 1);
  const begin = performance.now();
  await rate.turn('PATCH', undefined);
  expect(performance.now() - begin).toBeGreaterThan(500);
});

it('does not keep waiting what was cancelled', async () => {
  const rate = await usedUp(1, 1);
  const cancelled = new AbortController();
  const waiting = rate.turn('GET', cancelled.signal);
  cancelled.abort(new Error('cancelled'));
  await expect(waiting).rejects.toThrow('cancelled');
});
