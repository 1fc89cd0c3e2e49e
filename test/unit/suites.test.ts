import { execFileSync } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { projectDir } from '../../lab/paths.ts';
import { changedFiles } from '../runner/changes.ts';
import { goFolders } from '../runner/checks.ts';
import { computeFactor } from '../runner/machine-factor.ts';
import { securityFiles } from '../runner/security.ts';
import { buildTestPlan, selectSuites } from '../runner/selection.ts';
import { suitesByPath, suitesForChanges } from '../runner/suite-map.ts';
import { includesFile, suites, suitesOfTier } from '../runner/suites.ts';

const testFiles = ['unit', 'workflow', 'api', 'lab'].flatMap((project) =>
  readdirSync(path.join(projectDir, 'test', project))
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => `test/${project}/${file}`)
);
const names = (list: readonly { name: string }[]): string[] => list.map(({ name }) => name);

it('has every test file in one suite, and a file for every suite', () => {
  expect(testFiles.length).toBeGreaterThan(60);
  const times = testFiles.map((file) => ({ file, suites: suites.filter((suite) => includesFile(suite, file)).length }));
  expect(times.filter((one) => one.suites !== 1)).toEqual([]);
  expect(names(suites.filter((suite) => !testFiles.some((file) => includesFile(suite, file))))).toEqual([]);
});

it('has one migration of a lab in the tier "core", and no lab in "fast"', () => {
  expect(names(suitesOfTier('fast'))).toEqual(['unit', 'workflow', 'api']);
  expect(names(suitesOfTier('core'))).toEqual(['unit', 'workflow', 'api', 'lab-migration']);
  expect(suitesOfTier('all')).toEqual(suites);
});

it('selects tiers and suites by name, and rejects other names', () => {
  expect(selectSuites({ names: [] })).toEqual({ withChecks: true, suites: suitesOfTier('core') });
  const some = selectSuites({ names: ['lab-policy', 'unit'] });
  expect({ ...some, suites: names(some.suites) }).toEqual({ withChecks: false, suites: ['unit', 'lab-policy'] });
  expect(() => selectSuites({ names: ['labs'] })).toThrow('no tier or suite is called "labs"');
});

it('runs the test of each attack that docs/security.md lists, and no other one, as "security"', async () => {
  const page = await readFile(path.join(projectDir, 'docs', 'security.md'), 'utf8');
  const [, table = ''] = page.split('## Attacks');
  const listed = new Set([...table.matchAll(/\.\.\/((?:test|images)\/[\w./-]+)\)/g)].map(([, file = '']) => file));
  const { go, ...projects } = securityFiles;
  const { suites: selected, checks = [] } = selectSuites({ names: ['security'] });

  const files = Object.entries(projects).flatMap(([project, list]) =>
    list.map((name) => `test/${project}/${name}.test.ts`)
  );
  const inGo = [...listed].filter((file) => file.startsWith('images/'));
  expect([...listed].filter((file) => !file.startsWith('images/')).sort()).toEqual([...files].sort());
  expect(new Set(inGo.map((file) => path.dirname(file)))).toEqual(new Set(go));
  expect([...listed].filter((file) => !existsSync(path.join(projectDir, file)))).toEqual([]);
  expect(files.filter((file) => !selected.some((suite) => includesFile(suite, file)))).toEqual([]);
  expect(names(checks)).toEqual(['go test images/prober', 'go test images/coexistence']);
  expect(names(selected)).toContain('workflow-server');
  expect(names(buildTestPlan(selectSuites({ names: ['security'] }), 1).steps)).toContain('security-api');
});

it('builds tools once, before the first suite that needs them, and scales deadlines', () => {
  const { steps } = buildTestPlan(selectSuites({ names: ['all'] }), 2);
  const order = names(steps);
  for (const suite of suites.filter(({ tools }) => tools !== undefined)) {
    const [need = ''] = steps.find(({ name }) => name === suite.name)?.needs ?? [];
    expect(order.indexOf(need)).toBeGreaterThan(-1);
    expect(order.indexOf(need)).toBeLessThan(order.indexOf(suite.name));
  }
  expect(new Set(order).size).toBe(order.length);
  const unit = suites.find(({ name }) => name === 'unit');
  expect(steps.find(({ name }) => name === 'unit')?.deadlineMs).toBe((unit?.usualMinutes ?? 0) * 60_000 * 3 * 2);
});

describe('the map of paths to suites', () => {
  const keys = Object.keys(suitesByPath);

  /** True when a file or folder exists whose path starts like this. */
  const exists = (start: string): boolean => {
    const { dir, base } = path.parse(path.join(projectDir, start));
    return existsSync(dir) && readdirSync(dir).some((name) => name.startsWith(base));
  };

  it('has all folders of the project, paths that exist, and suites that exist', () => {
    const folders = readdirSync(projectDir, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !['.git', 'node_modules', 'coverage'].includes(entry.name))
      .map(({ name }) => `${name}/`);
    expect(folders.length).toBeGreaterThan(8);
    expect(folders.filter((folder) => !keys.some((key) => key.startsWith(folder)))).toEqual([]);
    expect(keys.filter((key) => !exists(key))).toEqual([]);
    const unknown = Object.values(suitesByPath).flatMap((some) => some.filter((name) => !names(suites).includes(name)));
    expect(unknown).toEqual([]);
  });

  it.each([
    [['docs/testing.md', 'README.md', 'test/unit/plan.test.ts'], []],
    [['images/coexistence/main.go'], ['lab-crash', 'lab-policy']],
    [
      ['test/lab/two-nodes/reboot.ts', 'test/lab/rollbacks.test.ts'],
      ['lab-rollbacks', 'lab-two-nodes'],
    ],
    [
      ['docker-compose.yml', 'lab/demo/main.ts'],
      ['api-stack', 'lab-demo', 'workflow-server'],
    ],
  ])('selects for %j the core and %j', (changed, more) => {
    const selected = names(selectSuites({ changed }).suites);
    const core = names(suitesOfTier('core'));
    expect(selected.filter((name) => core.includes(name))).toEqual(core);
    expect(selected.filter((name) => !core.includes(name)).sort()).toEqual(more);
  });

  it('selects everything for a file that it does not know, and without a history', () => {
    const onlyInAll = ['workflow-any-order', 'lab-nftables', 'api-release'];
    const everything = names(suites).filter((name) => !onlyInAll.includes(name));
    expect(names(selectSuites({ changed: ['package.json'] }).suites)).toEqual(everything);
    expect(names(selectSuites({ changed: undefined }).suites)).toEqual(everything);
    expect(suitesForChanges(['new-folder/file.ts'], () => true).size).toBe(suitesForChanges(undefined).size);
  });

  it('selects nothing more for no change, and for a file that it does not know and that is gone', () => {
    expect(suitesForChanges([]).size).toBe(0);
    expect(suitesForChanges(['old-folder/file.ts'], () => false).size).toBe(0);
  });
});

describe('the changes of the last hours', () => {
  const dir = mkdtempSync(path.join(tmpdir(), 'cni-changes-'));
  afterAll(() => rmSync(dir, { recursive: true }));
  const git = (cwd: string, args: readonly string[], hoursAgo = 0): void => {
    const date = new Date(Date.now() - hoursAgo * 3_600_000).toISOString();
    const gitIdentity = {
      GIT_AUTHOR_NAME: 'a',
      GIT_AUTHOR_EMAIL: 'a@a',
      GIT_COMMITTER_NAME: 'a',
      GIT_COMMITTER_EMAIL: 'a@a',
    };
    execFileSync('git', args, {
      cwd,
      stdio: 'ignore',
      env: { ...process.env, ...gitIdentity, GIT_AUTHOR_DATE: date, GIT_COMMITTER_DATE: date },
    });
  };

  it('are unknown outside a clone', async () => {
    expect(await changedFiles('12 hours ago', dir)).toBeUndefined();
  });

  it('are the files of the commits, both names of a moved file included; unknown in a shallow clone', async () => {
    const repo = path.join(dir, 'repo');
    execFileSync('git', ['init', '-q', '-b', 'main', repo]);
    const commit = (hoursAgo: number): void => {
      git(repo, ['add', '-A']);
      git(repo, ['commit', '-q', '-m', 'x'], hoursAgo);
    };
    writeFileSync(path.join(repo, 'old'), 'x'.repeat(500));
    writeFileSync(path.join(repo, 'kept'), 'kept');
    commit(20);
    git(repo, ['mv', 'old', 'new name']);
    commit(3);
    writeFileSync(path.join(repo, 'ä'), '');
    commit(1);
    expect([...((await changedFiles('12 hours ago', repo)) ?? [])].sort()).toEqual(['new name', 'old', 'ä']);
    const shallow = path.join(dir, 'shallow');
    git(dir, ['clone', '-q', '--depth', '1', `file://${repo}`, shallow]);
    expect(await changedFiles('12 hours ago', shallow)).toBeUndefined();
  });
});

it('vets every Go module of the project, those of foreign programs aside', () => {
  const skipped = (name: string): boolean => name === 'node_modules' || name.startsWith('.');
  const modules = globSync('**/go.mod', { cwd: projectDir, exclude: skipped }).map((file) => path.dirname(file));
  const foreign = modules.filter((folder) => folder.startsWith('lab/tools/go/') && !goFolders.includes(folder));
  expect([...goFolders, ...foreign].sort()).toEqual(modules.sort());
});

it.each([
  [100, 1],
  [300, 1],
  [301, 1.1],
  [610, 2.1],
  [60_000, 5],
])('returns for %d ms of measured work the time factor %d', (ms, factor) => {
  expect(computeFactor(ms)).toBe(factor);
});
