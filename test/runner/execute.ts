import { closeSync, openSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { projectDir } from '../../lab/paths.ts';
import type { ProcessId } from '../../lab/process.ts';
import { computeStepResult } from './outcome.ts';
import type { Plan, Step, StepResult } from './plan.ts';
import { describePressure, readPressure } from './pressure.ts';
import { killProcesses, runInGroup } from './process-group.ts';
import { readReport, reportVariable } from './report-file.ts';

/** Options that all steps of a run share. */
export interface RunOptions {
  /** Folder for reports and outputs. */
  scratch: string;
  /** Aborted when the run has to stop; its reason is an Error that says why. */
  signal: AbortSignal;
  /** Time between SIGTERM and SIGKILL, in ms. */
  graceMs: () => number;
  /** Factor by which this machine is slower than the reference machine. */
  timeFactor: number;
}

/** The results of the steps that ended, by name. */
export type Results = Map<string, StepResult>;

/**
 * Runs the steps of a plan: checks in parallel, then the others one after another, and those that are `parallel` in a second
 * lane. A step that fails never ends the run. When the run has to stop, the running steps are killed, and the steps after
 * them get no result.
 * @param results is filled during the run, so that it is complete up to an interruption.
 * @returns processes that stopped steps left: the caller removes them with {@link runCleanup}.
 */
export async function executePlan(plan: Plan, options: RunOptions, results: Results): Promise<readonly ProcessId[]> {
  const isCheck = ({ kind }: Step): boolean => kind === 'check';
  await runInParallel(plan.steps.filter(isCheck), async (step) => {
    if (!options.signal.aborted) results.set(step.name, await runCheck(step, options));
  });
  const left: ProcessId[] = [];
  const runOne = async (step: Step, run: typeof runStep): Promise<void> => {
    if (options.signal.aborted) return;
    const failedNeed = step.needs?.find((name) => (results.get(name)?.failed ?? 1) > 0);
    if (failedNeed !== undefined) {
      const failure = `${step.name}: not run, because "${failedNeed}" failed`;
      console.log(`FAILED  ${failure}`);
      results.set(step.name, { passed: 0, failed: 1, failures: [failure], machine: '' });
      return;
    }
    const { result, strays } = await run(step, options);
    results.set(step.name, result);
    if (options.signal.aborted) left.push(...strays);
    else if (result.failed > 0) await runCleanup(plan, strays, options);
  };
  let parallel: Promise<void> = Promise.resolve();
  for (const step of plan.steps.filter((one) => !isCheck(one))) {
    if (step.parallel === true || step.alone === true) await parallel;
    if (step.parallel === true) parallel = runOne(step, runAndPrint);
    else await runOne(step, runStep);
  }
  await parallel;
  return left;
}

/**
 * Removes what a failed step left behind. First its labs, so that their processes end in order, then processes without a
 * lab, then the labs of those. Errors are not reported: the next suite shows whether something is left.
 * @param options.signal ends the cleanup early. @default its deadline alone does
 */
export async function runCleanup(
  { cleanup: cleaning }: Plan,
  strays: readonly ProcessId[],
  options: Pick<RunOptions, 'graceMs'> & { signal?: AbortSignal; quiet?: boolean }
): Promise<void> {
  const { graceMs, signal = new AbortController().signal, quiet = false } = options;
  const output = quiet ? 'ignore' : 'inherit';
  const clean = async (): Promise<void> => {
    if (cleaning === undefined) return;
    const stdio = ['ignore' as const, output, output] as const;
    await runInGroup({ ...cleaning, cwd: projectDir, env: stepEnv(), stdio: [...stdio], signal, graceMs });
  };
  await clean();
  if ((await killProcesses(strays)) > 0) await clean();
}

/** Runs jobs, two at a time where there are two cores. */
async function runInParallel(steps: readonly Step[], job: (step: Step) => Promise<void>): Promise<void> {
  const waiting = [...steps];
  const lane = async (): Promise<void> => {
    for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) await job(step);
  };
  await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, lane));
}

async function runCheck(step: Step, options: RunOptions): Promise<StepResult> {
  return (await runAndPrint(step, options)).result;
}

/** Runs a step and prints its output when it ends, so that outputs are not mixed. */
async function runAndPrint(step: Step, options: RunOptions): ReturnType<typeof runStep> {
  const file = scratchFile(step, options, 'log');
  const output = openSync(file, 'w');
  try {
    const ended = await runStep(step, options, output);
    process.stdout.write(readFileSync(file));
    return ended;
  } finally {
    closeSync(output);
  }
}

/** @param output file for the step's output. @default this process's own output */
async function runStep(
  step: Step,
  options: RunOptions,
  output?: number
): Promise<{ result: StepResult; strays: readonly ProcessId[] }> {
  const { signal, timeFactor } = options;
  const reportFile = scratchFile(step, options, 'report');
  const before = readPressure();
  const start = Date.now();
  const stdio = output ?? 'inherit';
  const { end, strays } = await runInGroup({
    ...options,
    command: step.command,
    cwd: step.cwd ?? projectDir,
    env: { ...stepEnv(), ...step.env, [reportVariable]: reportFile },
    stdio: ['ignore', stdio, stdio],
    deadlineMs: step.deadlineMs,
  });
  const seconds = (Date.now() - start) / 1000;
  const result = computeStepResult(step, {
    end,
    report: readReport(reportFile),
    machine: `${describePressure(readPressure(), before)}; time factor ${timeFactor}`,
    stopReason: signal.reason instanceof Error ? signal.reason.message : '',
  });
  const failed = result.failed > 0;
  if (failed || step.kind !== 'tools') {
    console.log(`${failed ? 'FAILED' : 'passed'}  ${step.name} (${seconds.toFixed(1)} s)`);
  }
  if (failed) console.log(`        ${result.machine}`);
  return { result, strays };
}

function scratchFile({ name }: Step, { scratch }: RunOptions, ending: string): string {
  return path.join(scratch, `${name.replaceAll(/\W+/g, '-')}.${ending}`);
}

/** The environment of every step: the project's own Node.js comes first on PATH. */
function stepEnv(): NodeJS.ProcessEnv {
  const own = path.join(projectDir, 'node_modules', '.bin');
  return { ...process.env, PATH: `${own}${path.delimiter}${process.env['PATH'] ?? ''}` };
}
