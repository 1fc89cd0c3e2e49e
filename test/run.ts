import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs, stripVTControlCharacters } from 'node:util';
import { projectDir } from '../lab/paths.ts';
import { buildMissing } from '../lab/tools/build.ts';
import { loadCatalogue } from '../lab/tools/catalogue.ts';

/**
 * Runs every check of the project, those that fail soonest first, and ends with one line: "N passed, N failed". A check
 * that is no test suite counts as one. With --fast, what needs a whole cluster is left out.
 */
async function main(): Promise<void> {
  const { values } = parseArgs({ options: { fast: { type: 'boolean', default: false } } });
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

  const runSuite = async ({ name, projects, workers, only, without }: Suite): Promise<void> => {
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

  const catalogue = await loadCatalogue();
  const { artefacts, controlPlaneArtefacts, hostArtefacts, testArtefacts } = catalogue;
  // In the catalogue's own order, which is the one to build in.
  const inLabs = values.fast
    ? artefacts.filter((one) => controlPlaneArtefacts.includes(one) || hostArtefacts.includes(one))
    : artefacts;
  const built = await buildMissing([...new Set([...inLabs, ...testArtefacts])], console.log).then(
    () => true,
    (error: unknown) => {
      console.error(error instanceof Error ? error.message : error);
      return false;
    }
  );
  count(built, 'building what the tests need');

  const turns = built ? (values.fast ? fastTurns : allTurns) : turnsWithoutTools;
  for (const turn of turns) await Promise.all(turn.map(runSuite));
  await rm(scratch, { recursive: true });
  for (const failure of failures) console.log(`FAILED  ${failure}`);
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}

/** Test files that one run of jest takes. */
interface Suite {
  name: string;
  projects: readonly string[];
  /** Files at a time. @default one, because they use this machine's network */
  workers?: number;
  /** Pattern of its files. @default all of its projects */
  only?: string;
  /** Pattern of files that it leaves out. */
  without?: string;
}

/** Suites side by side. */
type Turn = readonly Suite[];

const turnsWithoutTools: readonly Turn[] = [[{ name: 'unit', projects: ['unit'] }]];

const fastTurns: readonly Turn[] = [
  // These wait for Temporal most of the time.
  [{ name: 'unit-workflow', projects: ['unit', 'workflow'], workers: 4 }],
  [{ name: 'api', projects: ['api'] }],
];

/**
 * The policies' test keeps the whole machine busy, and what answers of an API server take is part of what `api` tests. Beside
 * the lab in which workers die, and which waits more than it works, another one has room.
 */
const allTurns: readonly Turn[] = [
  ...fastTurns,
  [{ name: 'lab-policy', projects: ['lab'], only: 'test/lab/policy' }],
  [
    { name: 'lab-crash', projects: ['lab'], only: 'test/lab/crash' },
    { name: 'lab', projects: ['lab'], without: 'test/lab/(policy|crash)' },
  ],
];

const goFolders = [
  ...['prober', 'coexistence', 'lab/app', 'lab/images/pause', 'lab/tools/go/compose'],
  ...['test/matrix', 'bench/scale/simulator'],
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
  ...['prober', 'coexistence', 'test/matrix'].map((folder) => ({
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
  const child = spawn(file, args, { cwd, stdio: ['ignore', output, 'inherit'] });
  return new Promise((resolve) => {
    child.once('error', () => resolve(false));
    child.once('exit', (code) => resolve(code === 0));
  });
}

function seconds(since: number): string {
  return `${((Date.now() - since) / 1000).toFixed(1)} s`;
}

await main();
