import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DeterminismViolationError } from '@temporalio/workflow';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import { projectDir } from '../../lab/paths.ts';
import { replayHistory, replayOptions } from '../../worker/replay.ts';
import { scenarios } from '../support/history-scenarios.ts';

/** Recorded histories: a folder for each release and `next` for this build, with a folder for each scenario. */
const folder = path.join(projectDir, 'test', 'histories');

let options: Awaited<ReturnType<typeof replayOptions>>;
let files: string[];
beforeAll(async () => {
  // The runtime logs warnings about the failures that this test has to find.
  Runtime.install({ logger: new DefaultLogger('ERROR'), telemetryOptions: { logging: { filter: 'ERROR' } } });
  options = await replayOptions(undefined, process.env['CNI_MIGRATION_BUNDLES']);
  files = (await readdir(folder, { recursive: true })).filter((file) => file.endsWith('.json')).sort();
});

const read = (file: string): Promise<string> => readFile(path.join(folder, file), 'utf8');

/** A history of a node's migration, as if a build had run another activity at one place. */
async function readChanged(): Promise<string> {
  const file = files.find((name) => name.endsWith('nodeMigration.json')) ?? '';
  return (await read(file)).replaceAll('"flipNode"', '"flopNode"');
}

it('replays every recorded history of every release', async () => {
  const problems: string[] = [];
  for (const file of files) {
    await replayHistory(await read(file), options).catch((error: unknown) =>
      problems.push(`${file}: ${String(error)}`)
    );
  }
  expect(problems).toEqual([]);
});

it('fails for a history that these workflows do not produce', async () => {
  await expect(replayHistory(await readChanged(), options)).rejects.toThrow(DeterminismViolationError);
});

it('has the histories of every scenario, and of every release in the changelog', async () => {
  const recorded = new Set(files.map((file) => path.dirname(file)));
  expect(Object.keys(scenarios).filter((name) => !recorded.has(path.join('next', name)))).toEqual([]);
  const changelog = await readFile(path.join(projectDir, 'CHANGELOG.md'), 'utf8');
  const releases = [...changelog.matchAll(/^## \[?v?(\d+\.\d+\.\d+)/gm)].flatMap(([, version = '']) => version);
  expect(releases.filter((version) => !existsSync(path.join(folder, version)))).toEqual([]);
});

it('has histories with updates, signals, timers, children, continue-as-new, failure and cancellation', async () => {
  const texts = await Promise.all(files.filter((file) => file.startsWith('next')).map(read));
  const types = new Set(texts.flatMap((text) => [...text.matchAll(/"EVENT_TYPE_(\w+)"/g)].map(([, type]) => type)));
  for (const type of [
    'WORKFLOW_EXECUTION_UPDATE_COMPLETED',
    'WORKFLOW_EXECUTION_SIGNALED',
    'TIMER_FIRED',
    'CHILD_WORKFLOW_EXECUTION_COMPLETED',
    'WORKFLOW_EXECUTION_CONTINUED_AS_NEW',
    'WORKFLOW_EXECUTION_FAILED',
    'WORKFLOW_EXECUTION_CANCELED',
    'ACTIVITY_TASK_CANCELED',
    'ACTIVITY_TASK_FAILED',
  ]) {
    expect(types).toContain(type);
  }
  const workflows = new Set(files.map((file) => path.basename(file).replace(/^\d+-|[.]json$/g, '')));
  for (const type of ['clusterMigration', 'fleetMigration', 'nodeMigration', 'nodeRollback', 'clusterPreflight']) {
    expect(workflows).toContain(type);
  }
});

describe('npm run replay', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'cni-replay-'));
  });
  afterAll(() => rm(dir, { recursive: true }));

  /** Runs the command with these files. @param input standard input. */
  const replay = (args: readonly string[], input = ''): Promise<{ code: unknown; output: string }> =>
    new Promise((resolve) => {
      const main = path.join(projectDir, 'worker', 'replay-main.ts');
      const child = execFile(process.execPath, [main, ...args], (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : error.code, output: stdout + stderr })
      );
      child.stdin?.end(input);
    });

  it('reports for each file whether this build can continue its workflow', async () => {
    const [good = '', changed = ''] = ['good.json', 'changed.json'].map((name) => path.join(dir, name));
    await writeFile(good, await read(files[0] ?? ''));
    await writeFile(changed, await readChanged());
    expect(await replay([good])).toEqual({ code: 0, output: `${good}: compatible\n` });
    const both = await replay([changed, good]);
    expect(both).toEqual({ code: 1, output: expect.stringContaining(`${good}: compatible\n`) as string });
    expect(both.output).toMatch(/changed.json: NOT COMPATIBLE: .*Nondeterminism/);
  });

  it('reads the standard input, and refuses what is not a history', async () => {
    expect(await replay(['-'], await read(files[0] ?? ''))).toEqual({ code: 0, output: '-: compatible\n' });
    expect(await replay(['-'], '{"events": []}')).toMatchObject({
      code: 1,
      output: expect.stringMatching(/not a history/) as string,
    });
    expect(await replay(['-'], '{')).toMatchObject({
      code: 1,
      output: expect.stringMatching(/not valid JSON/) as string,
    });
    expect(await replay([])).toMatchObject({
      code: 2,
      output: expect.stringMatching(/^usage: npm run replay/) as string,
    });
  });
});
