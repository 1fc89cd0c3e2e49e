import { pbkdf2 } from 'node:crypto';
import { promisify } from 'node:util';
import { timeFactorVariable } from '../support/time-limits.ts';

/** The measured work: one task for each core of the reference machine. */
const tasks = 2;
const iterations = 600_000;

/**
 * Duration of the work on the reference machine (two idle cores of an AMD EPYC), in ms. A task there takes 292 to 300 ms
 * of processor time.
 */
const referenceMs = 300;

/** Maximum factor. Longer limits would only delay the failures of a slower machine. */
const maxFactor = 5;

/**
 * Measures the time that this machine takes for the same work with its current load, relative to the reference machine.
 * @returns a number from 1 to 5, with one decimal.
 */
export async function measureTimeFactor(): Promise<number> {
  const derive = promisify(pbkdf2);
  const start = performance.now();
  await Promise.all(Array.from({ length: tasks }, () => derive('password', 'salt', iterations, 64, 'sha512')));
  return computeFactor(performance.now() - start);
}

/** Returns the factor of a machine by its duration of the work, in ms. */
export function computeFactor(ms: number): number {
  return Math.min(maxFactor, Math.max(1, Math.ceil((ms / referenceMs) * 10) / 10));
}

/** Measures the factor for this process and its child processes, unless the parent process has done so. */
export async function provideTimeFactor(): Promise<void> {
  process.env[timeFactorVariable] ??= String(await measureTimeFactor());
}
