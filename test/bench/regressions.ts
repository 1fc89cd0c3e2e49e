import { readResult, writeResult } from './results.ts';

/**
 * Figures that are compared with the previous result: never times, which differ between machines and days, but ratios
 * of two figures of one run, and counts. Smaller is better. A figure that only one of two results has is not compared.
 */
export type Ratios = Readonly<Record<string, number>>;

/** A ratio may be larger than before by this factor: runs on the same machine differ by as much. */
const tolerance = 1.15;

/** Returns the regressions, one line each. */
export function regressions(before: Ratios, now: Ratios): string[] {
  return Object.entries(now).flatMap(([name, value]) => {
    const was = before[name];
    return was !== undefined && value > was * tolerance
      ? [`worse than before: ${name} ${value.toFixed(2)}, it was ${was.toFixed(2)}`]
      : [];
  });
}

/** Reports regressions, and sets the exit code of the process to 1 when there are any. */
export function reportRegressions(before: Ratios | undefined, now: Ratios): void {
  const worse = before === undefined ? [] : regressions(before, now);
  for (const line of worse) console.error(line);
  if (worse.length > 0) process.exitCode = 1;
}

/** Replaces the previous result by a new one, and reports regressions. */
export async function recordResult<T extends object>(
  name: string,
  result: T,
  ratiosOf: (result: T) => Ratios
): Promise<void> {
  const before = await readResult<T>(name);
  await writeResult(name, result);
  reportRegressions(before && ratiosOf(before), ratiosOf(result));
}
