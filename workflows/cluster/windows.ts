import type { Answer } from '../../model/decision.ts';
import type { WindowFit } from '../../model/maintenance-windows.ts';
import type { NodeFacts } from '../../model/nodes.ts';
import type { LongStep } from '../../model/plan.ts';
import {
  addMeasured,
  durationText,
  expectedSeconds,
  gracePeriods,
  type DisturbingStep,
  type MeasuredKind,
} from '../../model/step-times.ts';
import type { Wait } from '../../model/wait.ts';
import { agentWaves } from './agent-waves.ts';
import type { Migration } from './migration.ts';

/** A step that waits for a maintenance window. */
export interface Disturbance {
  /** Name of the step, such as `wave 2`. */
  name: string;
  step: DisturbingStep;
  /**
   * Messages that end the wait.
   * @default abort, and rollback of all nodes where that is possible
   */
  answers?: Answer[];
}

/**
 * Waits until a maintenance window is open whose rest is long enough for a step. Every phase that disturbs the cluster
 * calls it. A step that is longer than every window starts at the start of the longest one.
 * @param isOver returns true when the step that waits for the window is not the next one any more.
 * @default it is not when the migration is paused
 * @returns false when the caller must look again: the step is not next any more, or the run must continue as new.
 */
export async function waitForWindow(
  migration: Migration,
  disturbance: Disturbance,
  isOver = (): boolean => migration.status.paused !== undefined
): Promise<boolean> {
  const { windows } = migration.input;
  if (windows.length === 0) return true;
  for (;;) {
    const [{ seconds } = { seconds: 0 }] = expectSteps(migration, [disturbance]);
    const fit = await migration.run('untilFit', 'check maintenance windows', { windows, durationMs: seconds * 1_000 });
    if (fit.waitMs === 0) {
      if (isOver()) return false;
      noteTooLong(migration, disturbance.name, seconds, fit);
      return true;
    }
    const wait = buildWait(migration, disturbance, seconds, fit);
    if ((await migration.until(() => wait, isOver)) !== 'deadline') return false;
  }
}

const minuteMs = 60_000;

function buildWait(migration: Migration, { name, answers }: Disturbance, seconds: number, fit: WindowFit): Wait {
  const deadlineMs = Date.now() + fit.waitMs;
  // Windows open at full minutes. The answer of the activity took some time.
  const opensAt = new Date(Math.round(deadlineMs / minuteMs) * minuteMs).toISOString();
  const reasons = [
    ...(fit.isRestTooShort === true ? ['; the rest of the current window is too short'] : []),
    ...(fit.longestMs === undefined ? [] : [`; the longest window has only ${durationText(fit.longestMs / 1_000)}`]),
  ];
  const subject = `${opensAt}, for ${name} (about ${durationText(seconds)})${reasons.join('')}`;
  return {
    kind: 'window',
    key: `${opensAt} ${name}`,
    subject,
    answers: answers ?? migration.interruptions,
    deadlineMs,
  };
}

function noteTooLong(migration: Migration, name: string, seconds: number, { longestMs }: WindowFit): void {
  if (longestMs === undefined) return;
  const text =
    `${name} takes about ${durationText(seconds)}, longer than every maintenance window (at most ` +
    `${durationText(longestMs / 1_000)}): it starts at the start of a window, and may end after it`;
  if (!migration.status.notes.includes(text)) migration.note(text);
}

/**
 * Returns the steps of a migration that are expected to be longer than every maintenance window: none without windows.
 * @param facts the nodes, of which all agents restart in the cutover.
 */
export async function findLongSteps(migration: Migration, facts: readonly NodeFacts[]): Promise<LongStep[]> {
  const { input, state } = migration;
  const { windows } = input;
  if (windows.length === 0) return [];
  const steps: Disturbance[] = [
    { name: 'the installation of Cilium', step: { kind: 'installation', hasBaseline: false } },
    ...(state.plan?.waves ?? []).map(({ nodes }, index) => ({
      name: `wave ${index + 1}`,
      step: { kind: 'wave' as const, nodes },
    })),
    { name: 'the cutover', step: { kind: 'agents', waves: agentWaves(facts, migration).length } },
    { name: 'the removal of Canal', step: { kind: 'removal' } },
  ];
  const expected = expectSteps(migration, steps);
  const durationMs = Math.max(...expected.map(({ seconds }) => seconds)) * 1_000;
  const { longestMs } = await migration.run('untilFit', 'compare steps with maintenance windows', {
    windows,
    durationMs,
  });
  if (longestMs === undefined) return [];
  const windowSeconds = longestMs / 1_000;
  return expected
    .filter(({ seconds }) => seconds > windowSeconds)
    .slice(0, maxLongSteps)
    .map((step) => ({ ...step, windowSeconds }));
}

/** Maximum number of steps that the plan names because they are longer than every window. */
const maxLongSteps = 20;

/** Returns the expected duration of each step in seconds, from what this run has measured so far. */
function expectSteps(
  { state, status, input }: Migration,
  steps: readonly Disturbance[]
): { step: string; seconds: number }[] {
  const basis = {
    ledger: input.ledger,
    graceSeconds: gracePeriods(state.plan?.drains ?? []),
    migrated: status.nodes.filter((node) => node.state === 'migrated'),
    measured: state.measured ?? {},
  };
  return steps.map(({ name, step }) => ({ step: name, seconds: expectedSeconds(step, basis) }));
}

/** Records how long a step has taken since a time (Unix ms), for the expected duration of the next one of its kind. */
export function recordDuration({ state }: Migration, kind: MeasuredKind, startMs: number): void {
  state.measured = addMeasured(state.measured ?? {}, kind, (Date.now() - startMs) / 1_000);
}
