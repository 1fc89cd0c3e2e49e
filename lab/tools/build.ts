import { clock } from '../clock.ts';
import { interruptionSignal } from '../process.ts';
import { buildArtefact, isBuilt, type Artefact } from './artefact.ts';
import { checkPrerequisites } from './prerequisites.ts';

/** Two at a time: while one links, on one core, the other compiles. */
const lanes = 2;

/** How often a build that says nothing new is reported, in ms. */
const reminderMs = 30_000;

/**
 * Builds what is missing of the artefacts, given in the order in which they are best built, and says what it does, with elapsed time.
 * @throws Error naming every prerequisite that the machine lacks, before anything is built.
 */
export async function buildMissing(artefacts: readonly Artefact[], log: (line: string) => void): Promise<void> {
  const missing = await missingOf(artefacts);
  await checkPrerequisites({ building: missing.length > 0 });
  if (missing.length === 0) return;
  log(`building ${missing.length} of ${artefacts.length} tools; all of them from nothing take half an hour, once`);
  const start = Date.now();
  const interrupted = interruptionSignal();
  const finished = new Map<Artefact, Promise<void>>();
  const lane = limit(lanes);
  for (const artefact of missing) {
    // Needs come earlier in the catalogue's order, so their promises exist.
    const needs = artefact.needs.flatMap((need) => finished.get(need) ?? []);
    const done = Promise.all(needs).then(() =>
      lane(() => {
        interrupted.throwIfAborted();
        return reported(artefact, start, log);
      })
    );
    // Awaited below; a failure of one must not end the process before the others are told to stop.
    done.catch(() => undefined);
    finished.set(artefact, done);
  }
  const outcomes = await Promise.allSettled(finished.values());
  const failures = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as Error] : []));
  if (failures.length > 0) throw failures[0] ?? new Error('unreachable');
}

/** Those that are not built yet, in the same order. */
export async function missingOf(artefacts: readonly Artefact[]): Promise<Artefact[]> {
  const built = await Promise.all(artefacts.map(isBuilt));
  return artefacts.filter((_, index) => built[index] !== true);
}

async function reported(artefact: Artefact, start: number, log: (line: string) => void): Promise<void> {
  const begin = Date.now();
  let doing = '';
  const say = (what: string): void => {
    if (what === doing) return;
    doing = what;
    log(`${clock(start)}  ${artefact.name}: ${what}`);
  };
  const reminder = setInterval(() => log(`${clock(start)}  ${artefact.name}: still at ${doing}`), reminderMs);
  try {
    await buildArtefact(artefact, say);
    log(`${clock(start)}  ${artefact.name}: built in ${Math.round((Date.now() - begin) / 1000)} s`);
  } catch (error) {
    log(`${clock(start)}  ${artefact.name}: FAILED while at ${doing}`);
    throw error;
  } finally {
    clearInterval(reminder);
  }
}

/** Runs at most `count` jobs at a time, in the order in which they came. */
function limit(count: number): <T>(job: () => Promise<T>) => Promise<T> {
  let free = count;
  const waiting: (() => void)[] = [];
  return async (job) => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await job();
    } finally {
      const next = waiting.shift();
      if (next === undefined) free++;
      else next();
    }
  };
}
