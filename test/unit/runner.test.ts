import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { projectDir } from '../../lab/paths.ts';
import { identifyProcess, waitFor } from '../../lab/process.ts';
import type { Plan, Step } from '../runner/plan.ts';
import { scaleMs, timeLimits } from '../support/time-limits.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'cni-runner-'));
});
/** Ends a runner that is still running, so that a failed test leaves none behind. */
let endRunner = (): boolean => true;
afterEach(async () => {
  endRunner();
  await rm(dir, { recursive: true, force: true });
});

interface Run {
  code: number | null;
  lines: readonly string[];
}

/**
 * Starts the runner with a plan.
 * @param env variables in addition to those of this process. @default none
 */
async function start(plan: Plan, env: NodeJS.ProcessEnv = {}): Promise<{ runner: ChildProcess; ended: Promise<Run> }> {
  const file = path.join(dir, 'plan.json');
  await writeFile(file, JSON.stringify(plan));
  const main = path.join(projectDir, 'test', 'runner', 'main.ts');
  const runner = spawn(process.execPath, [main, '--plan', file], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  endRunner = () => runner.kill('SIGKILL');
  let output = '';
  for (const stream of [runner.stdout, runner.stderr]) stream.on('data', (data: Buffer) => (output += data.toString()));
  const ended = new Promise<Run>((resolve) => {
    runner.once('close', (code) => resolve({ code, lines: output.trimEnd().split('\n') }));
  });
  return { runner, ended };
}

const run = async (plan: Plan): Promise<Run> => (await start(plan)).ended;

/** Returns a step that is a shell script; its deadline is far away. */
const step = (name: string, script: string, more: Partial<Step> = {}): Step => ({
  name,
  kind: 'suite',
  command: ['sh', '-c', script],
  cwd: dir,
  deadlineMs: timeLimits.longTest,
  ...more,
});

/**
 * Returns a step that never ends. Nor do a child of it, an orphan in its process group, and a child in its own session.
 * The file "pids" has the IDs of all four.
 */
const hangingStep = (more: Partial<Step> = {}): Step =>
  step(
    'hangs',
    'sleep 1000 & echo $$ $! >pids; (sleep 1000 & echo $! >>pids); setsid sleep 1000 & echo $! >>pids; touch started; wait',
    more
  );

/** Expects that none of the processes in the file "pids" runs. */
async function expectNoProcessRuns(count: number): Promise<void> {
  const pids = (await readFile(path.join(dir, 'pids'), 'utf8')).trim().split(/\s+/).map(Number);
  expect(pids).toHaveLength(count);
  const running = await Promise.all(pids.map(identifyProcess));
  expect(running.filter((id) => id !== undefined)).toEqual([]);
}

const waitForStart = (): Promise<void> =>
  waitFor('the step', () => Promise.resolve(existsSync(path.join(dir, 'started'))), {
    timeoutMs: timeLimits.localChange,
    pollIntervalMs: 20,
  });

it('counts checks and suites, and exits with 0 when all passed', async () => {
  const steps = [step('one', 'true', { kind: 'check' }), step('tools', 'true', { kind: 'tools' }), step('two', 'true')];
  const { code, lines } = await run({ steps });
  expect({ code, last: lines.at(-1) }).toEqual({ code: 0, last: '2 passed, 0 failed' });
});

it('kills a suite at its deadline with all that it started, and runs the next one', async () => {
  const { code, lines } = await run({ steps: [hangingStep({ deadlineMs: scaleMs(2_000) }), step('next', 'true')] });
  expect({ code, last: lines.at(-1) }).toEqual({ code: 1, last: '1 passed, 1 failed' });
  expect(lines).toContainEqual(expect.stringMatching(/^FAILED {2}hangs: killed at its deadline of [\d.]+ min$/));
  await expectNoProcessRuns(4);
});

it('kills what ignores SIGTERM', async () => {
  const deaf = step('deaf', "trap '' TERM; echo $$ >pids; sleep 1000", { deadlineMs: scaleMs(2_000) });
  const { lines } = await run({ steps: [deaf], graceMs: 200 });
  expect(lines.at(-1)).toBe('0 passed, 1 failed');
  await expectNoProcessRuns(1);
});

it('prints the pressure of the machine for a failed suite, at its end and in the summary', async () => {
  const { lines } = await run({ steps: [step('fails', 'exit 3'), step('passes', 'true')] });
  expect(lines).toContain('FAILED  fails: failed with exit code 3');
  const facts = lines.filter((line) => line.includes("machine's pressure") && line.includes('time factor'));
  expect(facts).toHaveLength(2);
});

it('cleans up after a failed suite before the next suite starts', async () => {
  const write = (what: string): string => `echo ${what} >>${path.join(dir, 'order')}`;
  await run({
    steps: [step('a', `${write('a')}; false`), step('b', write('b')), step('c', write('c'))],
    cleanup: { command: ['sh', '-c', write('clean')], deadlineMs: timeLimits.longTest },
  });
  expect((await readFile(path.join(dir, 'order'), 'utf8')).trim().split('\n')).toEqual(['a', 'clean', 'b', 'c']);
});

it('fails each suite whose tools could not be built, and runs the others', async () => {
  const { lines } = await run({
    steps: [
      step('tools', `echo '{"event":"progress","text":"etcd: compiling"}' >$CNI_TEST_REPORT; false`, { kind: 'tools' }),
      step('a', 'true', { needs: ['tools'] }),
      step('b', 'true', { needs: ['tools'] }),
      step('c', 'true'),
    ],
  });
  expect(lines.at(-1)).toBe('1 passed, 3 failed');
  expect(lines).toContain('FAILED  a: not run, because "tools" failed');
  expect(lines).toContain('FAILED  b: not run, because "tools" failed');
  expect(lines).toContain('    etcd: compiling');
});

it.each(['SIGTERM', 'SIGINT'] as const)('counts what did not run as failed after %s', async (signal) => {
  const { runner, ended } = await start({
    steps: [step('a', 'true'), hangingStep(), step('b', 'true'), step('c', 'true')],
  });
  await waitForStart();
  runner.kill(signal);
  const { code, lines } = await ended;
  expect({ code, last: lines.at(-1) }).toEqual({ code: 1, last: '1 passed, 3 failed' });
  expect(lines).toContain(`FAILED  hangs: killed, because the run got ${signal}`);
  expect(lines).toContain(`FAILED  b: not run, because the run got ${signal}`);
  await expectNoProcessRuns(4);
});

it('stops at the limit of the whole run, and counts what did not run as failed', async () => {
  const { code, lines } = await run({ steps: [hangingStep(), step('b', 'true')], stopAfterMs: scaleMs(4_000) });
  expect({ code, last: lines.at(-1) }).toEqual({ code: 1, last: '0 passed, 2 failed' });
  const reason = 'hangs: killed, because the run reached its limit';
  expect(lines).toContainEqual(expect.stringContaining(reason));
  await expectNoProcessRuns(4);
});

it('counts the time since continuous integration began, and hands it on to no other run', async () => {
  const began = (secondsAgo: number): NodeJS.ProcessEnv => ({
    CNI_TEST_STARTED: String(Math.floor(Date.now() / 1000) - secondsAgo),
  });
  const plan = { steps: [step('a', 'test -z "$CNI_TEST_STARTED"')], stopAfterMs: 3_600_000 };
  expect((await (await start(plan, began(3_601))).ended).lines.at(-1)).toBe('0 passed, 1 failed');
  expect((await (await start(plan, began(0))).ended).lines.at(-1)).toBe('1 passed, 0 failed');
});

it('counts checks that a stop prevented', async () => {
  const check = (name: string): Step => step(name, 'touch started; sleep 1000', { kind: 'check' });
  const { runner, ended } = await start({ steps: [check('x'), check('y'), check('z')] });
  await waitForStart();
  runner.kill('SIGTERM');
  expect((await ended).lines.at(-1)).toBe('0 passed, 3 failed');
});

it('prints the output of each check in one piece', async () => {
  const noisy = (name: string): Step =>
    step(name, `for i in 1 2 3; do echo ${name} $i; sleep 0.05; done`, { kind: 'check' });
  const { lines } = await run({ steps: [noisy('x'), noisy('y')] });
  for (const name of ['x', 'y']) {
    const first = lines.indexOf(`${name} 1`);
    expect(lines.slice(first, first + 3)).toEqual([`${name} 1`, `${name} 2`, `${name} 3`]);
  }
});

it('runs a suite in parallel with those after it, up to the next one that runs alone, and prints its output in one piece', async () => {
  const waitFor = (file: string): string => `until [ -e ${file} ]; do sleep 0.05; done`;
  const { lines, code } = await run({
    steps: [
      step('long', `echo long 1; touch long; ${waitFor('second')}; echo long 2; sleep 0.5; touch long-ended`, {
        parallel: true,
      }),
      step('first', `${waitFor('long')}; echo first`),
      step('second', 'touch second'),
      step('alone', 'test -e long-ended', { alone: true }),
    ],
  });
  expect({ code, last: lines.at(-1) }).toEqual({ code: 0, last: '4 passed, 0 failed' });
  const start = lines.indexOf('long 1');
  expect(lines.slice(start, start + 2)).toEqual(['long 1', 'long 2']);
});

it('stops a suite that runs in parallel with another', async () => {
  const { runner, ended } = await start({
    steps: [hangingStep({ parallel: true }), step('b', 'touch b; sleep 1000'), step('c', 'true')],
  });
  await waitForStart();
  runner.kill('SIGTERM');
  expect((await ended).lines.at(-1)).toBe('0 passed, 3 failed');
  await expectNoProcessRuns(4);
});
