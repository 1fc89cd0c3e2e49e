import { formatClock } from '../elapsed.ts';
import type { PackageCount } from './artefact.ts';

/** A tool that is being built. */
export interface RunningTool {
  name: string;
  /** Current step of its build. */
  doing: string;
  elapsedMs: number;
  count?: PackageCount;
  /** Time since the first package was counted. */
  countingMs?: number;
}

/** Progress of a build of several tools. */
export interface BuildState {
  elapsedMs: number;
  done: number;
  total: number;
  remainingMs: number | undefined;
  running: readonly RunningTool[];
}

/** Number of packages up to which their times do not predict the others. */
const minPackages = 20;

/** Returns the state in one line. */
export function formatState({ elapsedMs, done, total, remainingMs, running }: BuildState): string {
  const all = `${formatClock(elapsedMs)}  ${done} of ${total} tools, ${formatRemaining(remainingMs)}`;
  return [all, ...running.map(formatTool)].join(' | ');
}

/** Returns the state of one tool: its step, its progress, and the elapsed and the remaining time. */
export function formatTool({ name, doing, elapsedMs, count, countingMs }: RunningTool): string {
  const what = doing === '' || doing === name ? name : `${name}: ${doing}`;
  if (count === undefined || count.total === 0) return `${what}, ${formatClock(elapsedMs).trim()}`;
  const remaining = formatRemaining(estimateRemainingMs(count, countingMs ?? 0));
  return `${what} ${count.done} of ${count.total} packages, ${formatClock(elapsedMs).trim()}, ${remaining}`;
}

/**
 * Estimates the time for the remaining packages from the compiled ones, in ms; undefined while too few are compiled.
 */
export function estimateRemainingMs({ done, total }: PackageCount, countingMs: number): number | undefined {
  if (done < Math.min(minPackages, total)) return undefined;
  return (countingMs * (total - done)) / Math.max(done, 1);
}

/** Work in seconds of processor time: done, and left. */
export interface Work {
  doneSeconds: number;
  leftSeconds: number;
}

/** Minimum work that shows the speed of this machine, in seconds. */
const minWorkSeconds = 60;

/** Rate of a machine with two processors, of which a build uses both most of the time. */
const defaultRate = 1.8;

/**
 * Estimates the remaining time in ms: at the speed so far, or at first at the speed of the machine of {@link getBuildCost}.
 */
export function estimateWorkMs({ doneSeconds, leftSeconds }: Work, elapsedMs: number): number {
  const rate = doneSeconds < minWorkSeconds ? defaultRate : doneSeconds / (elapsedMs / 1000);
  return (leftSeconds / rate) * 1000;
}

function formatRemaining(ms: number | undefined): string {
  if (ms === undefined) return 'time left not known yet';
  if (ms < 60_000) return 'less than a minute left';
  return `about ${Math.ceil(ms / 60_000)} min left`;
}
