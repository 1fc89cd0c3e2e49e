import { Worker, type WorkflowBundle } from '@temporalio/worker';
import type { Activities } from '../../activities/index.ts';
import { projectDir } from '../../lab/paths.ts';
import { run as runCommand, waitFor } from '../../lab/process.ts';
import { loadCatalogue } from '../../lab/tools/catalogue.ts';
import { dataConverter } from '../../temporal/data-converter.ts';
import { checkCurrentVersion } from '../../worker/startup-check.ts';
import { slotOptions, versioningOptions, parseDeployment } from '../../worker/worker-options.ts';
import { signal } from '../../workflows/messages.ts';
import { extractCommands, pages } from './docs.ts';
import { fakeFleet } from './fake-fleet.ts';
import {
  approveCutover,
  approvePlan,
  type Run,
  startRun,
  unattendedRequest,
  waitForPendingWait,
} from './migration-run.ts';
import { timeLimits } from './time-limits.ts';
import { WorkflowBuilds } from './workflow-builds.ts';
import { plainBundle, type WorkflowServer } from './workflow-server.ts';

/** A call of an activity. */
interface Call {
  /** Build of the worker that executed it. */
  build: string;
  cluster: string;
  activity: string;
  /** Version of the chart that it installed. */
  chartVersion?: string;
}

/** Deployment and builds, as in docs/operating.md. */
const deploymentName = 'cni-migration';
const older = '0.1.0';
const newer = '0.2.0';
/** Marks calls by a worker without Worker Versioning. */
const unversioned = 'unversioned';

/** The default of an input in the sources, and what the newer build has instead. */
const changedDefault = { file: 'model/input.ts', from: ".default('1.20.2')", to: ".default('1.99.0')" };

/** Tests of Worker Versioning with two builds of the workflows, on the server of a test file. */
export function defineVersioningTests(server: WorkflowServer): void {
  let builds: WorkflowBuilds;
  beforeAll(async () => {
    builds = await WorkflowBuilds.create();
  });
  afterAll(() => builds.remove());

  describe('two builds of a Worker Deployment', () => {
    const calls: Call[] = [];
    const callsOf = (cluster: string): Call[] => calls.filter((call) => call.cluster === cluster);
    const buildsOf = (cluster: string): string[] => [...new Set(callsOf(cluster).map(({ build }) => build))];
    const { activities } = fakeFleet({
      moved: { nodes: ['a', 'b', 'c'] },
      late: { nodes: ['a'] },
      early: { nodes: ['a'] },
    });
    const workers = new Map<string, { worker: Worker; ended: Promise<void> }>();
    let run: Run;
    let late: Run;
    let early: Run;

    /** Creates a worker. @param build version of the deployment; `unversioned` for none. */
    async function createWorker(build: string, workflowBundle: WorkflowBundle): Promise<Worker> {
      const env = { TEMPORAL_DEPLOYMENT_NAME: deploymentName, TEMPORAL_WORKER_BUILD_ID: build };
      return Worker.create({
        connection: server.env.nativeConnection,
        taskQueue: 'versioning',
        workflowBundle,
        activities: recordCalls(build === newer ? withOtherDefault(activities) : activities, build, calls),
        dataConverter: dataConverter(undefined),
        ...slotOptions(10),
        ...versioningOptions(parseDeployment(build === unversioned ? {} : env)),
      });
    }

    async function start(build: string, workflowBundle: WorkflowBundle): Promise<void> {
      const worker = await createWorker(build, workflowBundle);
      workers.set(build, { worker, ended: worker.run() });
      // The server learns of a version with the first poll of its workers.
      await waitFor(`version ${build} to be current`, () => makeCurrent(server, build), {
        timeoutMs: timeLimits.serviceStart,
      });
      // The task queue learns of it later.
      await waitFor(`the task queue to use version ${build}`, () => isRouted(server, build), {
        timeoutMs: timeLimits.serviceStart,
      });
    }

    async function stop(build: string): Promise<void> {
      const running = workers.get(build);
      workers.delete(build);
      if (running?.worker.getState() === 'RUNNING') running.worker.shutdown();
      await running?.ended;
    }

    afterAll(async () => {
      for (const build of workers.keys()) await stop(build);
    });

    it('continues a migration of an unversioned worker on the current build', async () => {
      const worker = await createWorker(unversioned, await plainBundle());
      await worker.runUntil(async () => {
        early = await startRun(server.env.client, 'versioning', { cluster: 'early', cleanup: 'automatic' });
        await waitForPendingWait(early, 'approval of the plan');
      });
      await start(older, await plainBundle());
      await approvePlan(early);
      await waitForPendingWait(early, 'approval of node a');
      expect(buildsOf('early')).toEqual([unversioned, older]);
    });

    it('keeps migrations in progress on their build, and starts new ones on the current build', async () => {
      const { client } = server.env;
      run = await startRun(client, 'versioning', { cluster: 'moved', cleanup: 'automatic' });
      await approvePlan(run);
      await waitForPendingWait(run, 'approval of node a');
      await start(newer, await builds.build('newer', changedDefault));
      late = await startRun(client, 'versioning', { ...unattendedRequest, cluster: 'late' });
      expect(await late.result()).toMatchObject({ phase: 'done' });
      await run.signal(signal('approve'), { node: 'a' });
      await waitForPendingWait(run, 'approval of node b');
      await early.signal(signal('approve'), { node: 'a' });
      await approveCutover(early);
      expect(await early.result()).toMatchObject({ phase: 'done' });
      expect(buildsOf('early')).toEqual([unversioned, older]);
      expect(buildsOf('late')).toEqual([newer]);
      expect(buildsOf('moved')).toEqual([older]);
      const chart = ({ chartVersion }: Call): string[] => (chartVersion === undefined ? [] : [chartVersion]);
      expect(new Set(callsOf('late').flatMap(chart))).toEqual(new Set(['1.99.0']));
      expect(new Set(callsOf('moved').flatMap(chart))).toEqual(new Set(['1.20.2']));
    });

    it('lists the workflows that still need the older build', async () => {
      const [query] = await documentedCommands(/^temporal workflow list .*TemporalWorkerDeploymentVersion/);
      const listed = async (): Promise<boolean> => {
        const found = await documentedCommand(server, `${query} -o json`);
        return found.includes(run.workflowId) && !found.includes(late.workflowId);
      };
      // Visibility may lag behind.
      await waitFor('the list', listed, { timeoutMs: timeLimits.workflowState });
    });

    it('moves a waiting migration to the newer build with the documented command', async () => {
      const [command = ''] = await documentedCommands(/^temporal workflow update-options/);
      await documentedCommand(server, command.replace('cni-migration/my-context', run.workflowId));
      await stop(older);
      const before = callsOf('moved').length;
      for (const node of ['b', 'c']) await run.signal(signal('approve'), { node });
      await approveCutover(run);
      expect(await run.result()).toMatchObject({ phase: 'done' });
      const after = callsOf('moved').slice(before);
      expect(after.length).toBeGreaterThan(10);
      expect(after.filter(({ build }) => build !== newer)).toEqual([]);
    });

    it('installs what was approved, although the newer build has other defaults', () => {
      const charts = callsOf('moved').flatMap(({ chartVersion }) => chartVersion ?? []);
      expect(charts.length).toBeGreaterThan(1);
      expect(new Set(charts)).toEqual(new Set(['1.20.2']));
    });

    it('warns at startup when another version gets the new migrations', async () => {
      const check = (buildId: string, name = deploymentName) =>
        checkCurrentVersion(server.env.client, 'default', { deploymentName: name, buildId });
      expect(await check(newer)).toEqual([]);
      expect(await check('0.3.0')).toMatchObject([
        { kind: 'warning', text: expect.stringContaining(`"${newer}"`) as string },
      ]);
      const [unknown] = await check('0.3.0', 'another');
      expect(unknown?.text).toMatch(/no version of the Worker Deployment "another".*--build-id 0.3.0/);
    });
  });
}

/** Makes a build the current version. @returns false while the server does not know it. */
async function makeCurrent(server: WorkflowServer, build: string): Promise<boolean> {
  const [command = ''] = await documentedCommands(/^temporal worker deployment set-current-version/);
  return documentedCommand(server, command.replace(newer, build)).then(
    () => true,
    () => false
  );
}

/** True when the task queue gives new workflows to a build. */
async function isRouted({ env: { client } }: WorkflowServer, build: string): Promise<boolean> {
  const { namespace } = client.options;
  const request = { namespace, taskQueue: { name: 'versioning' }, taskQueueType: 1 };
  const { versioningInfo } = await client.workflowService.describeTaskQueue(request);
  return versioningInfo?.currentDeploymentVersion?.buildId === build;
}

/** Returns the commands of docs/operating.md that match. */
async function documentedCommands(pattern: RegExp): Promise<string[]> {
  const page = (await pages()).find(({ file }) => file === 'docs/operating.md');
  if (page === undefined) throw new Error('docs/operating.md does not exist');
  const commands = extractCommands(page).filter((line) => pattern.test(line));
  if (commands.length !== 1)
    throw new Error(`docs/operating.md has ${commands.length} commands like ${String(pattern)}`);
  return commands;
}

/** Runs a command of the documentation in a shell, on the server of the test. */
async function documentedCommand(server: WorkflowServer, command: string): Promise<string> {
  const { bin } = await loadCatalogue();
  const line = command.replace(/^temporal /, '"$TEMPORAL" ');
  const env = { ...process.env, TEMPORAL: bin('temporal'), TEMPORAL_ADDRESS: server.env.address };
  return runCommand('bash', ['-c', line], { env, cwd: projectDir });
}

/** Wraps activities so that each call is recorded with the build of its worker. */
function recordCalls(activities: Activities, build: string, calls: Call[]): Activities {
  const wrapped = Object.entries(activities).map(([activity, implementation]) => [
    activity,
    (input: { cluster?: string; input?: { cluster: string }; version?: string } = {}): unknown => {
      const cluster = input.cluster ?? input.input?.cluster ?? '';
      const chartVersion = activity === 'applyHelmRelease' ? input.version : undefined;
      calls.push({ build, cluster, activity, ...(chartVersion !== undefined && { chartVersion }) });
      return (implementation as (input: unknown) => unknown)(input);
    },
  ]);
  return Object.fromEntries(wrapped) as Activities;
}

/** Returns the activities of a build whose default version of the chart is another one. */
function withOtherDefault(activities: Activities): Activities {
  const resolveRequest: Activities['resolveRequest'] = ({ request }) =>
    activities.resolveRequest({ request: { chartVersion: '1.99.0', ...(request as object) } });
  return { ...activities, resolveRequest };
}
