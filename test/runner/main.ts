import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { timeFactorVariable } from '../support/time-limits.ts';
import { changedFiles } from './changes.ts';
import { runCleanup, executePlan, type Results } from './execute.ts';
import { provideTimeFactor } from './machine-factor.ts';
import type { Plan } from './plan.ts';
import { buildTestPlan, selectSuites, type Selection } from './selection.ts';
import { summarize } from './summary.ts';

const usage = `usage: node test/runner/main.ts [fast | core | all | security | SUITE …]   (default: core)
       node test/runner/main.ts --ci           core, and the suites whose sources changed in the last 12 hours
       node test/runner/main.ts --plan FILE    the steps in a JSON file (test/runner/plan.ts)`;

/** Maximum duration of a run of CI, in ms. */
const ciLimitMs = 80 * 60_000;

/** Time that the processes of a killed step get after SIGTERM, in ms. */
const usualGraceMs = 10_000;
/** The same after a signal to this process, whose sender may not wait for long. */
const interruptedGraceMs = 2_000;

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Runs a plan, prints the last line in every case, and returns the exit code. */
async function runPlan(plan: Plan, startedMs: number): Promise<number> {
  const stop = new AbortController();
  let graceMs = plan.graceMs ?? usualGraceMs;
  for (const signal of signals) {
    process.on(signal, () => {
      graceMs = Math.min(graceMs, interruptedGraceMs);
      stop.abort(new Error(`the run got ${signal}`));
    });
  }
  if (plan.stopAfterMs !== undefined) {
    const minutes = plan.stopAfterMs / 60_000;
    const stopAtLimit = (): void => stop.abort(new Error(`the run reached its limit of ${+minutes.toFixed(1)} min`));
    setTimeout(stopAtLimit, Math.max(0, startedMs + plan.stopAfterMs - Date.now())).unref();
  }
  const results: Results = new Map();
  const scratch = await mkdtemp(path.join(tmpdir(), 'cni-tests-'));
  const timeFactor = Number(process.env[timeFactorVariable]);
  const options = { scratch, signal: stop.signal, graceMs: () => graceMs, timeFactor };
  const strays = await executePlan(plan, options, results).catch((error: unknown) => {
    console.error(error);
    return [];
  });
  const reason: unknown = stop.signal.reason;
  const { lines, failed } = summarize(plan, results, reason instanceof Error ? reason.message : undefined);
  for (const line of lines) console.log(line);
  // Nothing is printed after the last line. A second signal ends the cleanup.
  if (stop.signal.aborted) {
    for (const signal of signals) process.on(signal, () => process.exit(1));
    await runCleanup(plan, strays, { graceMs: options.graceMs, quiet: true }).catch(() => undefined);
  }
  await rm(scratch, { recursive: true, force: true });
  return failed === 0 ? 0 : 1;
}

/** Reads the command line. @throws Error for an unknown tier, suite or option. */
async function planFromArguments(): Promise<Plan> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { ci: { type: 'boolean', default: false }, plan: { type: 'string' }, help: { type: 'boolean' } },
  });
  if (values.help === true) {
    console.log(usage);
    process.exit(0);
  }
  if (values.plan !== undefined) return JSON.parse(await readFile(values.plan, 'utf8')) as Plan;
  await provideTimeFactor();
  const selection: Selection = values.ci ? { changed: await changedFiles('12 hours ago') } : { names: positionals };
  const plan = buildTestPlan(selectSuites(selection), Number(process.env[timeFactorVariable]));
  return values.ci ? { ...plan, stopAfterMs: ciLimitMs } : plan;
}

/** Start of a run of CI (Unix, s); this process may start later. Not valid for other runs. */
const started = process.env['CNI_TEST_STARTED'];
delete process.env['CNI_TEST_STARTED'];
const startedMs = started === undefined ? Date.now() : Number(started) * 1000;
try {
  await provideTimeFactor();
  process.exitCode = await runPlan(await planFromArguments(), startedMs);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  console.error(usage);
  process.exitCode = 2;
}
process.exit();
