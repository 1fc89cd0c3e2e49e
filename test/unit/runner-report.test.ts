import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { projectDir } from '../../lab/paths.ts';
import { computeStepResult } from '../runner/outcome.ts';
import type { Step } from '../runner/plan.ts';
import { describePressure, readPressure } from '../runner/pressure.ts';
import { readReport, reportVariable } from '../runner/report-file.ts';

const dir = mkdtempSync(path.join(tmpdir(), 'cni-report-'));
afterAll(() => rmSync(dir, { recursive: true }));

/** Test files with every kind of outcome. */
const files: Record<string, string> = {
  'a.test.js': `it('passes', () => {}); it('fails', () => { expect(1).toBe(2); }); it.skip('is skipped', () => {});`,
  'b.test.js': `throw new Error('does not load');`,
  'c.test.js': `jest.retryTimes(3); let n = 0; it('passes at the second attempt', () => { expect(++n).toBe(2); });`,
  'd.test.js': `beforeAll(() => { throw new Error('before'); }); it('one', () => {}); it('two', () => {});`,
  'e.test.js': `afterAll(() => { throw new Error('after'); }); it('one', () => {});`,
};

it('counts the tests of Jest: failed hooks, files that do not load, and passes after a retry are failures', () => {
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(dir, name), text);
  const report = path.join(dir, 'report');
  const config = { rootDir: dir, transform: {}, reporters: [path.join(projectDir, 'test/runner/report-file.ts')] };
  const jest = path.join(projectDir, 'node_modules', 'jest', 'bin', 'jest.js');
  const env = { ...process.env, [reportVariable]: report };
  spawnSync(process.execPath, [jest, '--ci', '--config', JSON.stringify(config)], { env, cwd: dir });
  const result = readReport(report);
  const failures = result?.failures.map((failure) => path.basename(failure.split('\n')[0] ?? '')).sort();
  expect(failures).toEqual([
    'a.test.js: fails',
    'b.test.js',
    'c.test.js: passes at the second attempt',
    'd.test.js: one',
    'd.test.js: two',
    'e.test.js',
  ]);
  expect(result).toMatchObject({ passed: 2, unfinished: [] });
});

const suite: Step = { name: 'lab-x', kind: 'suite', command: ['x'], reports: true, deadlineMs: 60_000 };
const facts = { machine: 'busy', stopReason: '' };

it('counts what a killed suite reported, and names the files that it was at', () => {
  const file = path.join(dir, 'killed');
  const lines = [
    { event: 'started', file: 'one' },
    { event: 'test', file: 'one', test: 'first' },
    { event: 'finished', file: 'one', tests: [{ test: 'first' }] },
    { event: 'started', file: 'two' },
    { event: 'test', file: 'two', test: 'second' },
    { event: 'test', file: 'two', test: 'third', failure: '    because' },
  ];
  for (const line of lines) appendFileSync(file, `${JSON.stringify(line)}\n`);
  appendFileSync(file, '{"event":"te');
  expect(computeStepResult(suite, { ...facts, end: { how: 'deadline' }, report: readReport(file) })).toEqual({
    passed: 2,
    failed: 2,
    failures: ['two: third\n    because', 'lab-x: killed at its deadline of 1.0 min, while at:\n    two'],
    machine: 'busy',
  });
});

it.each([
  ['dies without a report', { how: 'exited', code: null, signal: 'SIGKILL' }, 'lab-x: ended by SIGKILL'],
  [
    'ends well without a report',
    { how: 'exited', code: 0, signal: null },
    'lab-x: ended without a report of its tests',
  ],
  ['cannot be started', { how: 'not started', message: 'ENOENT' }, 'lab-x: could not be started: ENOENT'],
] as const)('counts one failure for a suite that %s', (_, end, failure) => {
  expect(computeStepResult(suite, { ...facts, end, report: undefined })).toMatchObject({
    passed: 0,
    failed: 1,
    failures: [failure],
  });
});

it('describes the pressure of the machine, and what the kernel does not report', () => {
  writeFileSync(path.join(dir, 'cpu'), 'some avg10=1.50 avg60=2.00 avg300=3.25 total=4000000\n');
  writeFileSync(path.join(dir, 'io'), 'some avg10=0.00 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.00 total=0\n');
  const before = readPressure(dir);
  writeFileSync(path.join(dir, 'cpu'), 'some avg10=9.00 avg60=8.00 avg300=7.00 total=5500000\n');
  expect(describePressure(readPressure(dir), before)).toBe(
    "machine's pressure (10 s/60 s/300 s): cpu 9/8/7 %, waited 1.5 s; io 0/0/0 %, waited 0.0 s; memory not available"
  );
});
