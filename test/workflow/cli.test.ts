import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CommandFailed, run, waitFor } from '../../lab/process.ts';
import { loadCatalogue } from '../../lab/tools/catalogue.ts';
import { projectDir } from '../../lab/paths.ts';
import { apiVersion } from '../../model/api-version.ts';
import type { clusterMigration, fleetMigration } from '../../workflows/index.ts';
import { fleetStatusQuery } from '../../workflows/messages.ts';
import { extractCommands, pages } from '../support/docs.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import { schemaProblems } from '../support/schemas.ts';
import { timeLimits } from '../support/time-limits.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** The command line, as people and scripts use it, on a real Temporal server; only the cluster is a fake. */
jest.setTimeout(timeLimits.longTest);
const server = new WorkflowServer();
let dir: string;
let temporalDir: string;
beforeAll(async () => {
  await server.start();
  dir = await mkdtemp(path.join(tmpdir(), 'cni-cli-'));
  temporalDir = path.dirname((await loadCatalogue()).bin('temporal'));
});
afterAll(async () => {
  await server.stop();
  await rm(dir, { recursive: true });
});

interface Answer {
  code: number;
  out: string;
  /** The Temporal CLI's command, or the error. */
  err: string;
}

/** Runs cni-migrate. Text for people is on standard output, everything else on standard error. */
async function cli(...args: string[]): Promise<Answer> {
  return shell(`"${projectDir}/cni-migrate" "$@"`, args);
}

async function shell(script: string, args: string[] = [], more: NodeJS.ProcessEnv = {}): Promise<Answer> {
  const env = {
    ...process.env,
    PATH: `${temporalDir}:${process.env['PATH']}`,
    TEMPORAL_ADDRESS: server.env.address,
    COLUMNS: '40',
    HOME: dir,
    ...more,
  };
  const errors = path.join(dir, 'stderr');
  try {
    const out = await run('bash', ['-c', `( ${script} ) 2> '${errors}'`, 'bash', ...args], { env });
    return { code: 0, out, err: await readFile(errors, 'utf8') };
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    return { code: error.code ?? -1, out: error.message, err: await readFile(errors, 'utf8') };
  }
}

const waitForOutput = (text: string, ...args: string[]): Promise<void> =>
  waitFor(text, async () => (await cli(...args)).out.includes(text), {
    timeoutMs: timeLimits.workflowState,
    pollIntervalMs: 100,
  });

it('migrates a cluster from the checks to the end, and prints the equivalent Temporal commands', async () => {
  const cluster = fakeCluster({ nodes: ['a', 'b'] });
  let digest = '';
  await server.withWorker(cluster.activities, async (_client, taskQueue) => {
    expect(await cli('preflight', 'prod', '--task-queue', taskQueue)).toMatchObject({
      code: 0,
      out: '1 of 1 checks passed\n',
    });
    const input = path.join(dir, 'migration.yaml');
    await writeFile(input, '$schema: ./migration.schema.json\ncluster: prod # the context\napproval: every-node\n');
    const started = await cli('start', 'prod', '--task-queue', taskQueue, '--input-file', input);
    expect(started.out).toBe('started as workflow cni-migration/prod\n');
    expect(started.err).toMatch(/^# temporal workflow start .*"approval":"every-node"/);
    expect(await cli('start', 'prod', '--task-queue', taskQueue)).toMatchObject({ code: 3 });

    await waitForOutput('approval of the plan', 'status', 'prod');
    const status = await cli('status', 'prod');
    expect(status.out).toContain('cni-migrate approve prod --plan');
    expect(status.out).not.toContain('\u001b');
    [, digest = ''] = /^Plan ([0-9a-f]{64})$/m.exec(status.out) ?? [];
    expect(status.out).toContain(`cni-migrate approve prod --plan-digest ${digest}`);
    expect(await cli('approve', 'prod', '--plan-digest', 'f'.repeat(12))).toMatchObject({ code: 3 });
    expect(await cli('approve', 'prod', '--plan', '--plan-digest', digest)).toMatchObject({ code: 2 });
    // A shell can run the printed command.
    const byDigest = ['--plan-digest', digest, '--by', "Ann O'Hara", '--reason', 'tested; go'];
    const printed = await cli('approve', 'prod', ...byDigest, '--print');
    expect((await shell(printed.out)).out).toContain('approved');
    await waitForOutput('approval of node a', 'status', 'prod');

    expect(await cli('approve', 'prod', '--node', 'a', '--by', 'ann')).toMatchObject({ code: 0 });
    await waitForOutput('approval of node b', 'status', 'prod');
    expect(await cli('pause', 'prod')).toMatchObject({ code: 0 });
    expect(await cli('resume', 'prod', '--json')).toMatchObject({
      code: 0,
      out: expect.stringContaining('"answer"') as string,
    });
    expect(await cli('set-max-concurrency', 'prod', '--max-concurrency', '2')).toMatchObject({ code: 0 });
    for (const query of ['status', 'plan', 'ledger', 'blockers']) {
      const answer: unknown = JSON.parse((await cli(query, 'prod', '--json')).out);
      expect(await schemaProblems(answer, 'queries.schema.json', query)).toEqual([]);
    }
    const json = JSON.parse((await cli('status', 'prod', '--json')).out) as { nodes: object[]; maxConcurrency: number };
    expect(json).toMatchObject({ maxConcurrency: 2, nodes: [{ name: 'a', state: 'migrated' }, { name: 'b' }] });
    expect((await cli('plan', 'prod')).out).toContain('Point of no return');
    expect((await cli('blockers', 'prod')).out).toBe('no blockers\n');
    expect((await cli('ledger', 'prod')).code).toBe(0);

    const watched = cli('status', 'prod', '--watch');
    await cli('approve', 'prod', '--wave', '2');
    await waitForOutput('approval of the cutover', 'status', 'prod');
    await cli('approve', 'prod', '--cutover');
    await waitForOutput('approval of the cleanup', 'status', 'prod');
    await cli('approve', 'prod', '--cleanup');
    const seen = await watched;
    expect(seen.out).toContain('b: migrated');
    expect(seen.out).toContain('cleanup');
    expect(seen.out.trim().endsWith('done')).toBe(true);
  });
  // The end of the run requires no worker.
  const report = await cli('report', 'prod');
  expect(report.out).toContain(`| plan ${digest.slice(0, 12)} | Ann O'Hara |  | tested; go |`);
  const file = path.join(dir, 'report.html');
  expect(await cli('report', 'prod', '--format', 'html', '--output', file)).toMatchObject({ code: 0 });
  expect(await readFile(file, 'utf8')).toContain('wave 1: a: migrated');
  const data: unknown = JSON.parse((await cli('report', 'prod', '--json')).out);
  expect(data).toMatchObject({ apiVersion, outcome: 'COMPLETED', status: { apiVersion } });
  expect(await schemaProblems(data, 'results.schema.json', 'report')).toEqual([]);
  const result: unknown = await server.env.client.workflow.getHandle('cni-migration/prod').result();
  expect(await schemaProblems(result, 'results.schema.json', 'clusterMigration')).toEqual([]);
});

it('starts a fleet from a file, and validates every cluster first', async () => {
  const fleet = path.join(dir, 'fleet.yaml');
  await writeFile(
    fleet,
    'fleet: eu\napproval: none\ndefaults: &defaults { approval: none, cleanup: automatic }\nclusters:\n  - cluster: eu-1\n'
  );
  await server.withWorker(fakeCluster({ nodes: ['a'] }).activities, async (client, taskQueue) => {
    const started = await cli('fleet', 'start', fleet, '--task-queue', taskQueue);

    expect(started).toMatchObject({ code: 0, out: 'started as workflow cni-fleet/eu\n' });
    expect(started.err).toMatch(/^# temporal workflow start --type fleetMigration .*--workflow-id cni-fleet\/eu/);
    const run = client.workflow.getHandle<typeof fleetMigration>('cni-fleet/eu');
    const status = await run.result();
    expect(status).toMatchObject({ apiVersion, clusters: [{ cluster: 'eu-1', state: 'migrated' }] });
    expect(await schemaProblems(status, 'results.schema.json', 'fleetMigration')).toEqual([]);
    expect(await schemaProblems(await run.query(fleetStatusQuery), 'queries.schema.json', 'fleetStatus')).toEqual([]);
  });

  await writeFile(fleet, 'fleet: eu\nclusters:\n  - cluster: eu-1\n    podCIDR: 10.1.0.0/16\n');
  expect(await cli('fleet', 'start', fleet)).toMatchObject({
    code: 2,
    err: expect.stringContaining('clusters.0: the input: Unrecognized key: "podCIDR"') as string,
  });
});

it('reports the kind of error in its exit code', async () => {
  const blocked = fakeCluster({
    checks: [{ check: 'kernel', verdict: 'block', evidence: ['too old'], fix: 'update', ms: 1 }],
  });
  await server.withWorker(blocked.activities, async (_client, taskQueue) => {
    const queue = ['--task-queue', taskQueue];
    expect(await cli('preflight', 'old', ...queue)).toMatchObject({
      code: 3,
      out: expect.stringContaining('too old') as string,
    });
    await cli('start', 'old', ...queue);
    const watched = await cli('status', 'old', '--watch');
    expect(watched).toMatchObject({ code: 1, err: expect.stringContaining('checks block the migration') as string });
    expect((await cli('report', 'old')).out).toContain('Failed: 1 of 1 checks block');
  });
  expect(await cli('status', 'nowhere')).toMatchObject({ code: 4 });
  expect(await cli('approve', 'old', '--plan')).toMatchObject({ code: 4 });
  expect(await cli('status', 'old', '--address', '127.0.0.1:1')).toMatchObject({ code: 5 });
  for (const wrong of [
    ['status'],
    ['approve', 'x', '--wave', '0'],
    ['skip', 'x'],
    ['status', 'x', '--profile', 'absent'],
    ['start', 'x', '--input', '{'],
    ['start', 'x', '--input', 'cluster: y'],
    ['start', 'x', '--input-file', 'absent.yaml'],
    ['fleet', 'start'],
    ['fleet', 'start', 'absent.yaml'],
    ['frob', 'x'],
  ]) {
    expect({ wrong, ...(await cli(...wrong)) }).toMatchObject({ wrong, code: 2 });
  }
});

it('refuses an invalid message with the reason', async () => {
  await server.withWorker(fakeCluster({ nodes: ['a'] }).activities, async (client, taskQueue) => {
    await cli('start', 'one', '--task-queue', taskQueue);
    await waitForOutput('approval of the plan', 'status', 'one');
    expect(await cli('approve', 'one')).toMatchObject({
      code: 3,
      err: expect.stringContaining('must name exactly one') as string,
    });
    expect(await cli('skip', 'one', '--node', 'z')).toMatchObject({
      code: 3,
      err: expect.stringContaining('refused: ') as string,
    });
    expect(await cli('rollback', 'one')).toMatchObject({ code: 3 });
    await cli('abort', 'one', '--reason', 'enough');
    await expect(client.workflow.getHandle('cni-migration/one').result()).rejects.toThrow();
  });
});

it('rolls all nodes back when no run is open, with one command', async () => {
  await server.withWorker(fakeCluster({ nodes: ['a', 'b'] }).activities, async (client, taskQueue) => {
    await cli('start', 'back', '--task-queue', taskQueue, '--input', 'approval: none');
    await waitForOutput('approval of the cleanup', 'status', 'back');
    await client.workflow.getHandle('cni-migration/back').terminate();

    const started = await cli('rollback', 'back', '--all', '--start', '--by', 'ann', '--task-queue', taskQueue);

    expect(started).toMatchObject({ code: 0, out: 'started as workflow cni-migration/back\n' });
    expect(started.err).toMatch(/^# temporal workflow signal-with-start --signal-name rollback /);
    const report = await client.workflow.getHandle<typeof clusterMigration>('cni-migration/back').result();
    expect(report).toMatchObject({
      phase: 'rolled-back',
      nodes: [
        { name: 'a', state: 'rolled-back' },
        { name: 'b', state: 'rolled-back' },
      ],
    });
  });
  for (const wrong of [
    ['--node', 'a', '--start'],
    ['--all', '--input', '{}'],
  ]) {
    expect(await cli('rollback', 'back', ...wrong)).toMatchObject({ code: 2 });
  }
});

it('returns the answer of an open run to a rollback with a start', async () => {
  const rollback = ['rollback', 'open', '--all', '--start'];
  await server.withWorker(fakeCluster({ nodes: ['a'] }).activities, async (client, taskQueue) => {
    await cli('start', 'open', '--task-queue', taskQueue, '--input', 'approval: none');
    await waitForOutput('approval of the cleanup', 'status', 'open');

    expect(await cli(...rollback, '--task-queue', taskQueue)).toMatchObject({
      code: 0,
      out: 'rollback of all nodes requested\n',
    });
    const report = await client.workflow.getHandle<typeof clusterMigration>('cni-migration/open').result();
    expect(report).toMatchObject({ phase: 'rolled-back' });
  });
  const idle = ['--task-queue', 'nobody-polls-this'];
  await cli('start', 'open', ...idle);
  expect(await cli(...rollback, ...idle)).toMatchObject({
    code: 0,
    out: expect.stringMatching(/^sent to the open run cni-migration\/open: a worker will apply or refuse it/) as string,
  });
  await server.env.client.workflow.getHandle('cni-migration/open').terminate();
});

it('shows that a run has ended, and no wait that nobody can end', async () => {
  await server.withWorker(fakeCluster({ nodes: ['a'] }).activities, async (client, taskQueue) => {
    await cli('start', 'ended', '--task-queue', taskQueue);
    await waitForOutput('approval of the plan', 'status', 'ended');
    await client.workflow.getHandle('cni-migration/ended').terminate();

    const { code, out } = await cli('status', 'ended');

    expect({ code, out }).toMatchObject({
      code: 0,
      out: expect.stringContaining('The run has ended: terminated') as string,
    });
    expect(out).not.toContain('approve');
  });
});

it('rolls all nodes back with the documented command of the Temporal CLI', async () => {
  const commands = (await pages()).flatMap(extractCommands).filter((line) => line.includes('signal-with-start'));
  expect(commands.length).toBeGreaterThan(0);
  for (const command of commands) {
    await server.withWorker(fakeCluster({ nodes: ['a'] }).activities, async (client, taskQueue) => {
      const workflowId = /--workflow-id (\S+)/.exec(command)?.[1] ?? '';

      const { code } = await shell(command.replace('--task-queue cni-migration', `--task-queue ${taskQueue}`));

      expect(code).toBe(0);
      const report = await client.workflow.getHandle<typeof clusterMigration>(workflowId).result();
      expect(report).toMatchObject({ phase: 'rolled-back' });
    });
  }
});

it('answers for a fleet', async () => {
  await server.withWorker(fakeCluster({ nodes: ['a'] }).activities, async (client, taskQueue) => {
    const fleet = path.join(dir, 'asia.yaml');
    await writeFile(fleet, 'fleet: asia\nclusters:\n  - cluster: asia-1\n');
    await cli('fleet', 'start', fleet, '--task-queue', taskQueue);
    await waitForOutput('asia-1 (canary): pending', 'fleet', 'status', 'asia');

    expect(await cli('fleet', 'skip', 'asia', '--cluster', 'asia-2')).toMatchObject({ code: 3 });
    expect(await cli('fleet', 'skip', 'asia')).toMatchObject({ code: 2 });
    expect(await cli('fleet', 'status', 'africa')).toMatchObject({ code: 4 });
    // A fleet whose only cluster is skipped has ended.
    expect(await cli('fleet', 'skip', 'asia', '--cluster', 'asia-1', '--reason', 'later')).toMatchObject({ code: 0 });
    await client.workflow.getHandle('cni-fleet/asia').result();
    expect(await cli('fleet', 'pause', 'asia')).toMatchObject({ code: 4 });
  });
});

it('runs checks under another workflow ID', async () => {
  await server.withWorker(fakeCluster({ nodes: ['a'] }).activities, async (client, taskQueue) => {
    const options = ['--task-queue', taskQueue, '--workflow-id', 'checks-of-prod'];

    const checked = await cli('preflight', 'prod', ...options);

    expect(checked).toMatchObject({ code: 0, err: expect.stringContaining('--workflow-id checks-of-prod') as string });
    const { searchAttributes, status } = await client.workflow.getHandle('checks-of-prod').describe();
    expect(status.name).toBe('COMPLETED');
    expect(searchAttributes).toMatchObject({ CniCluster: ['prod'] });
  });
});
