import type { Migration } from './migration.ts';
import { waitForWindow, type Disturbance } from './windows.ts';

/** Duration of a wait after which the nodes are read again, in ms. */
const longWaitMs = 60_000;

/**
 * Waits until the next part of a rollback of all nodes fits into a maintenance window, unless the rollback was requested
 * outside of them. A rollback that has begun continues in the next window.
 * @returns false when the caller must look again first.
 */
export async function waitForRollbackWindow(
  migration: Migration,
  disturbance: Pick<Disturbance, 'name' | 'step'>
): Promise<boolean> {
  const { decisions } = migration.state;
  const isOutsideWindows = (): boolean => decisions.rollbackAll?.outsideWindows === true;
  if (isOutsideWindows()) return true;
  const startMs = Date.now();
  const hasFit = await waitForWindow(migration, { ...disturbance, answers }, isOutsideWindows);
  return hasFit && Date.now() - startMs <= longWaitMs;
}

const answers = [
  { does: 'roll back at once', message: 'rollback', input: { all: true, outsideWindows: true } },
  { does: 'end the rollback, and leave every node as it is', message: 'abort', input: {} },
];
