import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs, stripVTControlCharacters } from 'node:util';
import { projectDir } from '../lab/paths.ts';
import type { Artefact } from '../lab/tools/artefact.ts';
import { buildMissing, missingOf } from '../lab/tools/build.ts';
import { loadCatalogue } from '../lab/tools/catalogue.ts';
import { goEnv } from '../lab/tools/go-build.ts';
import { allTurns, buildMinutes, fastTurns, fits, type Tools, type Turn } from './turns.ts';

/**
 * Runs every check of the project, those that fail soonest first, and ends with one line: "N passed, N failed". A check
 * that is no test suite counts as one. With --fast, what needs a whole cluster is left out; with --minutes, what would
 * take longer than these, which is named.
 */
async function main(): Promise<void> {
  const { values } = parseArgs({ options: { fast: { type: 'boolean', default: false }, minutes: { type: 'string' } } });
  const limit = values.minutes === undefined ? undefined : Number(values.minutes);
  if (limit !== undefined && !(limit > 0))
    throw new Error(`--minutes takes a number of minutes, not ${values.minutes}`);
  const began = Date.now();
  const scratch = await mkdtemp(path.join(tmpdir(), 'cni-tests-'));
  let passed = 0;
  let failed = 0;
  /** What failed, once more at the end: there is much output between. */
  const failures: string[] = [];
  const count = (ok: boolean, name: string): void => {
    if (ok) passed++;
    else {
      failed++;
      failures.push(name);
    }
  };

  for (const { name, command, cwd } of checks) {
    const start = Date.now();
    const ok = await succeeds(command, cwd);
    console.log(`${ok ? 'passed' : 'FAILED'}  ${name} (${seconds(start)})`);
    count(ok, name);
  }

  const runTurn = async ({ name, projects, workers, only, without }: Turn): Promise<void> => {
    const report = path.join(scratch, `${name}.json`);
    const ok = await succeeds([
      ...['npx', 'jest', '--selectProjects', ...projects, '--json', '--outputFile', report, '--ci', '--verbose'],
      // One that runs file after file is also made to end with its last test: a connection that a test forgot must not
      // hold up everything.
      ...(workers === undefined ? ['--runInBand', '--forceExit'] : ['--maxWorkers', String(workers)]),
      ...(only === undefined ? [] : ['--testPathPatterns', only]),
      ...(without === undefined ? [] : ['--testPathIgnorePatterns', without]),
    ]);
    const result = await readFile(report, 'utf8').then(
      (text) => JSON.parse(text) as JestResult,
      () => undefined
    );
    passed += result?.numPassedTests ?? 0;
    // A suite that does not even load has no test that fails.
    failed += Math.max(result?.numFailedTests ?? 0, result?.numFailedTestSuites ?? 0, ok ? 0 : 1);
    failures.push(...(result?.testResults.flatMap(failuresOf) ?? [`${name}: no report`]));
  };

  const turns = values.fast ? fastTurns : allTurns;
  const leftOut: string[] = [];
  let expected = checksMinutes;
  const tools = await toolsOf();
  for (const turn of turns) {
    const missing = await missingOf(tools[turn.tools]);
    const minutes = turn.minutes + (missing.length > 0 ? buildMinutes[turn.tools] : 0);
    const passed = (Date.now() - began) / 60_000;
    if (!fits(minutes, { passed, expected, ...(limit !== undefined && { limit }) })) {
      leftOut.push(turn.name);
      continue;
    }
    if (missing.length > 0 && !(await succeedsToBuild(missing))) {
      count(false, `building what tests need (${turn.tools})`);
      if (turn === turns[0]) await runTurn({ ...turn, name: 'unit', projects: ['unit'] });
      break;
    }
    await runTurn(turn);
    expected += minutes;
  }
  await rm(scratch, { recursive: true });
  for (const name of leftOut)
    console.log(`left out  ${name}: it would take longer than ${limit} minutes in all (npm run test:all)`);
  for (const failure of failures) console.log(`FAILED  ${failure}`);
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}

/** What the checks below take on a machine of two cores and usual speed. */
const checksMinutes = 3;

const goFolders = [
  ...['images/prober', 'images/coexistence', 'lab/app', 'lab/images/pause', 'lab/tools/go/compose'],
  ...['test/policy-matrix', 'test/bench/scale/simulator'],
];

const checks: readonly { name: string; command: readonly string[]; cwd?: string }[] = [
  { name: 'lint', command: ['npx', 'eslint', '--max-warnings', '0', '.'] },
  { name: 'format', command: ['npx', 'prettier', '--check', '--log-level', 'warn', '.'] },
  { name: 'types', command: ['npx', 'tsc', '--noEmit'] },
  ...goFolders.map((folder) => ({
    name: `go vet ${folder}`,
    command: ['go', 'vet', './...'],
    cwd: path.join(projectDir, folder),
  })),
  ...['images/prober', 'images/coexistence', 'test/policy-matrix'].map((folder) => ({
    name: `go test ${folder}`,
    command: ['go', 'test', './...'],
    cwd: path.join(projectDir, folder),
  })),
];

/** The part that is read of what jest writes with --json. */
interface JestResult {
  numPassedTests: number;
  numFailedTests: number;
  numFailedTestSuites: number;
  testResults: readonly JestSuite[];
}

interface JestSuite {
  /** The file. */
  name: string;
  status: string;
  /** Why it did not load. */
  message: string;
  assertionResults: readonly { status: string; fullName: string; failureMessages: readonly string[] }[];
}

/** What failed in a suite, each with the beginning of its reason. */
function failuresOf({ name, status, message, assertionResults }: JestSuite): string[] {
  const file = path.relative(projectDir, name);
  const failed = assertionResults.filter((one) => one.status === 'failed');
  if (failed.length === 0) return status === 'failed' ? [`${file}\n${beginning(message)}`] : [];
  return failed.map(
    ({ fullName, failureMessages }) => `${file}: ${fullName}\n${beginning(failureMessages.join('\n'))}`
  );
}

function beginning(text: string): string {
  const said = stripVTControlCharacters(text)
    .split('\n')
    .filter((line) => line.trim() !== '' && (!/^\s+at /.test(line) || line.includes('/test/')));
  return said.join('\n').slice(0, 1_500).replaceAll(/^/gm, '    ');
}

async function succeeds([file = '', ...args]: readonly string[], cwd = projectDir): Promise<boolean> {
  // Jest reports to readers on standard error; with --json, its standard output is for programs.
  const output = args.includes('--json') ? 'ignore' : 'inherit';
  const env = file === 'go' ? goEnv : process.env;
  const child = spawn(file, args, { cwd, env, stdio: ['ignore', output, 'inherit'] });
  return new Promise((resolve) => {
    child.once('error', () => resolve(false));
    child.once('exit', (code) => resolve(code === 0));
  });
}

/** What tests need of the lab's tools, in the order in which it is best built. */
async function toolsOf(): Promise<Record<Tools, readonly Artefact[]>> {
  const { artefacts, controlPlaneArtefacts, hostArtefacts, testArtefacts } = await loadCatalogue();
  const few = artefacts.filter((one) => controlPlaneArtefacts.includes(one) || hostArtefacts.includes(one));
  return { 'control plane': few, lab: artefacts, rest: [...few, ...testArtefacts] };
}

async function succeedsToBuild(artefacts: readonly Artefact[]): Promise<boolean> {
  try {
    await buildMissing(artefacts, console.log);
    return true;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return false;
  }
}

function seconds(since: number): string {
  return `${((Date.now() - since) / 1000).toFixed(1)} s`;
}

await main();
