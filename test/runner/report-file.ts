import { appendFileSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { projectDir } from '../../lab/paths.ts';

/** The variable with the file to which a step reports, one JSON object a line. */
export const reportVariable = 'CNI_TEST_REPORT';

/** The end of a test. */
interface TestEnd {
  test: string;
  /** Absent when it passed. */
  failure?: string;
}

/** A line of a report. Lines of a test file come in this order: started, tests as they end, finished. */
export type ReportLine =
  | { event: 'started'; file: string }
  | ({ event: 'test'; file: string } & TestEnd)
  /** `failure` is set for a file that failed outside its tests, for example because it could not be loaded. */
  | { event: 'finished'; file: string; tests: readonly TestEnd[]; failure?: string }
  /** Current work of a step. */
  | { event: 'progress'; text: string };

/** Content of a report so far. */
export interface Report {
  passed: number;
  failures: readonly string[];
  /** Test files that started and did not finish. */
  unfinished: readonly string[];
  /** The last lines of progress. */
  progress: readonly string[];
}

/** Adds a line to the report of this step; without a report, does nothing. */
export function reportLine(line: ReportLine): void {
  const file = process.env[reportVariable];
  if (file !== undefined) appendFileSync(file, `${JSON.stringify(line)}\n`);
}

/** Reads a report, whole or of a step that was killed. Undefined when the step reported nothing. */
export function readReport(file: string): Report | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
  const lines = text.split('\n').flatMap(parseLine);
  const finished = new Map(lines.flatMap((line) => (line.event === 'finished' ? [[line.file, line] as const] : [])));
  const unfinished = lines.flatMap((line) => (line.event === 'started' && !finished.has(line.file) ? [line.file] : []));
  const tests = [
    ...[...finished.values()].flatMap(({ file, tests: ended }) => ended.map((end) => ({ file, ...end }))),
    ...lines.flatMap((line) => (line.event === 'test' && !finished.has(line.file) ? [line] : [])),
  ];
  return {
    passed: tests.filter(({ failure }) => failure === undefined).length,
    failures: [
      ...tests.flatMap(({ file, test, failure }) => (failure === undefined ? [] : [`${file}: ${test}\n${failure}`])),
      ...[...finished.values()].flatMap(({ file, failure }) => (failure === undefined ? [] : [`${file}\n${failure}`])),
    ],
    unfinished,
    progress: lines.flatMap((line) => (line.event === 'progress' ? [line.text] : [])).slice(-3),
  };
}

/** The last line of a killed process may be incomplete. */
function parseLine(text: string): ReportLine[] {
  try {
    return [JSON.parse(text) as ReportLine];
  } catch {
    return [];
  }
}

/** The part that is read of Jest's result of a test. */
interface TestResult {
  status: string;
  fullName: string;
  failureMessages?: readonly string[] | null;
  /** Number of attempts. */
  invocations?: number;
}

/** The part that is read of Jest's result of a file. */
interface FileResult {
  failureMessage?: string | null;
  testExecError?: unknown;
  testResults: readonly TestResult[];
}

/** A reporter of Jest that writes each result to the report of the step as soon as it is known. */
export default class ReportFile {
  onTestFileStart(test: { path: string }): void {
    reportLine({ event: 'started', file: relative(test.path) });
  }

  onTestCaseResult(test: { path: string }, result: TestResult): void {
    for (const end of buildTestEnds([result])) reportLine({ event: 'test', file: relative(test.path), ...end });
  }

  onTestFileResult(test: { path: string }, result: FileResult): void {
    const { testResults, failureMessage, testExecError } = result;
    const failsOutside = testExecError != null || (failureMessage != null && !hasFailedTest(result));
    reportLine({
      event: 'finished',
      file: relative(test.path),
      tests: buildTestEnds(testResults),
      ...(failsOutside && { failure: beginning(failureMessage ?? 'failed outside its tests') }),
    });
  }
}

/** Returns the ends of the tests that ran. */
function buildTestEnds(results: readonly TestResult[]): TestEnd[] {
  return results
    .filter(({ status }) => status === 'passed' || status === 'failed')
    .map((result) => {
      const failure = testFailure(result);
      return { test: result.fullName, ...(failure !== undefined && { failure }) };
    });
}

/** Returns the reason why a test counts as failed. A test that passes only at a later attempt has failed. */
export function testFailure({ status, failureMessages, invocations = 1 }: TestResult): string | undefined {
  if (status === 'failed') return beginning((failureMessages ?? []).join('\n'));
  return invocations > 1 ? `    passed only at attempt ${invocations}` : undefined;
}

function hasFailedTest({ testResults }: FileResult): boolean {
  return testResults.some(({ status }) => status === 'failed');
}

function relative(file: string): string {
  return path.relative(projectDir, file);
}

/** Returns the first lines of a failure, without the stack frames of libraries. */
function beginning(text: string): string {
  const lines = stripVTControlCharacters(text)
    .split('\n')
    .filter((line) => line.trim() !== '' && (!/^\s+at /.test(line) || line.includes('/test/')));
  return lines.join('\n').slice(0, 1_500).replaceAll(/^/gm, '    ');
}
