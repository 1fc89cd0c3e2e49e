import { readResult, writeResult } from './results.ts';

/**
 * What is compared with the result that was there before: never times, which differ between machines and days, but how two
 * things of one run relate, and what is counted. The smaller the better. What only one of two results has is not compared.
 */
export type Ratios = Readonly<Record<string, number>>;

/** A ratio may be so much larger than before: runs on the same machine differ by as much. */
const tolerance = 1.15;

/** What has become worse, one line each. */
export function regressions(before: Ratios, now: Ratios): string[] {
  return Object.entries(now).flatMap(([name, value]) => {
    const was = before[name];
    return was !== undefined && value > was * tolerance
      ? [`worse than before: ${name} ${value.toFixed(2)}, it was ${was.toFixed(2)}`]
      : [];
  });
}

/** Tells what has become worse than before, and has the process end with an error then. */
export function tellRegressions(before: Ratios | undefined, now: Ratios): void {
  const worse = before === undefined ? [] : regressions(before, now);
  for (const line of worse) console.error(line);
  if (worse.length > 0) process.exitCode = 1;
}

/** Writes a result down in the place of the one before, and tells what has become worse. */
export async function recordResult<T extends object>(
  name: string,
  result: T,
  ratiosOf: (result: T) => Ratios
): Promise<void> {
  const before = await readResult<T>(name);
  await writeResult(name, result);
  tellRegressions(before && ratiosOf(before), ratiosOf(result));
}
