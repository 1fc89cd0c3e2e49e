import { pbkdf2 } from 'node:crypto';
import { promisify } from 'node:util';
import { timeFactorVariable } from '../support/time-limits.ts';

/** The measured work: one task for each core of the reference machine. */
const tasks = 2;
const iterations = 600_000;

/**
 * What the work takes on the reference machine (two idle cores of an AMD EPYC), in ms. A task there takes 292 to 300 ms
 * of processor time.
 */
const referenceMs = 300;

/** A machine that is slower than this is out of order: longer limits would only delay its failures. */
const maxFactor = 5;

/**
 * Measures how much longer than the reference machine this one takes for the same work, with what it is busy with now.
 * @returns a number from 1 to 5, with one decimal.
 */
export async function measureTimeFactor(): Promise<number> {
  const derive = promisify(pbkdf2);
  const begin = performance.now();
  await Promise.all(Array.from({ length: tasks }, () => derive('password', 'salt', iterations, 64, 'sha512')));
  return factorOf(performance.now() - begin);
}

/** The factor of a machine that took so many ms for the work. */
export function factorOf(ms: number): number {
  return Math.min(maxFactor, Math.max(1, Math.ceil((ms / referenceMs) * 10) / 10));
}

/** Measures the factor for this process and the processes that it starts, unless whoever started it has done so. */
export async function provideTimeFactor(): Promise<void> {
  process.env[timeFactorVariable] ??= String(await measureTimeFactor());
}
