import type { Step, StepResult } from './plan.ts';
import type { End } from './process-group.ts';
import type { Report } from './report-file.ts';

/** Facts about a step that has ended. */
export interface Ended {
  end: End;
  report: Report | undefined;
  /** The machine's pressure at the end. */
  machine: string;
  /** Reason why the run was stopped; unused otherwise. */
  stopReason: string;
}

/**
 * Counts the passed and failed tests of a step. A check, and a suite that does not report, count as one. Tools count only
 * when they fail. A step that was killed or crashed counts as one failure in addition to the failed tests that it reported.
 */
export function computeStepResult(step: Step, ended: Ended): StepResult {
  const { report, machine } = ended;
  const failures = [...(report?.failures ?? [])];
  const problem = describeProblem(step, ended, failures.length);
  if (problem !== undefined) failures.push(`${step.name}: ${problem}`);
  const failed = failures.length;
  const passed = step.kind === 'tools' ? 0 : step.reports === true ? (report?.passed ?? 0) : failed === 0 ? 1 : 0;
  return { passed, failed, failures, machine: failed === 0 ? '' : machine };
}

/** Returns the problem of a step that is not a failed test. */
function describeProblem(step: Step, { end, report, stopReason }: Ended, failedTests: number): string | undefined {
  const doing = [...(report?.unfinished ?? []), ...(report?.progress ?? [])];
  const at = doing.length === 0 ? '' : `, while at:\n${doing.map((line) => `    ${line}`).join('\n')}`;
  switch (end.how) {
    case 'not started':
      return `could not be started: ${end.message}`;
    case 'deadline':
      return `killed at its deadline of ${(step.deadlineMs / 60_000).toFixed(1)} min${at}`;
    case 'stopped':
      return `killed, because ${stopReason}${at}`;
    case 'exited':
      if (end.signal !== null) return `ended by ${end.signal}${at}`;
      if (end.code !== 0) return failedTests > 0 ? undefined : `failed with exit code ${end.code}${at}`;
      return step.reports === true && report === undefined ? 'ended without a report of its tests' : undefined;
  }
}
