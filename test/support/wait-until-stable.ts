import { isDeepStrictEqual } from 'node:util';
import { waitFor } from '../../lab/process.ts';
import { timeLimits } from './time-limits.ts';

/** Time for which a state has to stay the same to count as settled, in ms. */
const quietMs = 3_000;

/**
 * Waits until a state stays the same: Kubernetes' own controllers need a moment after a change.
 * @returns the settled state.
 */
export async function waitForStableState<T>(read: () => Promise<T>): Promise<T> {
  let state = await read();
  const isStable = async (): Promise<boolean> => {
    const before = state;
    await new Promise((resolve) => setTimeout(resolve, quietMs));
    state = await read();
    return isDeepStrictEqual(state, before);
  };
  await waitFor('the cluster to settle', isStable, { timeoutMs: timeLimits.clusterChange });
  return state;
}

/**
 * Waits until a state equals the expected one: controllers remove what belongs to a deleted object some time after it.
 * When the limit is over, the comparison fails with the differences.
 */
export async function expectEventually<T>(what: string, read: () => Promise<T>, expected: T): Promise<void> {
  let state = await read();
  const isEqual = async (): Promise<boolean> => {
    state = await read();
    return isDeepStrictEqual(state, expected);
  };
  if (isDeepStrictEqual(state, expected)) return;
  await waitFor(what, isEqual, { timeoutMs: timeLimits.clusterChange, pollIntervalMs: 1_000 }).catch(() => undefined);
  expect(state).toEqual(expected);
}
