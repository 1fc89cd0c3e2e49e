import type { ChildProcess } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { createActivities } from '../../activities/index.ts';
import { kubeconfigClusters } from '../../activities/kubernetes/connection.ts';
import { startTemporal, startWorker, type TemporalServer } from '../../lab/cluster/temporal.ts';
import { runInside } from '../../lab/machine/machine.ts';
import { labMigrationRequest } from '../../lab/migration-request.ts';
import { waitFor } from '../../lab/process.ts';
import { plain, writeBundles } from '../../worker/bundle.ts';
import { ledgerStages } from '../../model/ledger.ts';
import type { MigrationReport } from '../../model/status.ts';
import { useLab } from '../support/lab.ts';
import { nodeTraces, canalOrProjectLines } from '../support/node-traces.ts';
import { expectEventually, waitForStableState } from '../support/wait-until-stable.ts';
import { TemporalCli } from '../support/temporal-cli.ts';
import { timeLimits } from '../support/time-limits.ts';
import { readText } from '../support/reads.ts';

/** Number of workers: one continues at once while others restart. */
const workerCount = 3;
const workers = new Map<number, ChildProcess>();
let over = false;
let supervised: Promise<unknown> | undefined;
// Runs before the removal of the lab, in whose folder nothing may run then.
afterAll(async () => {
  over = true;
  for (const worker of workers.values()) worker.kill('SIGKILL');
  await supervised;
});

// Without the sample application: moving pods is tested elsewhere, and every step runs three times here.
const lab = useLab({ nodes: 2, app: false });
const support = path.join(import.meta.dirname, '..', 'support');
const script = path.join(support, 'crashing-worker.ts');
const shortHeartbeats = path.join(support, 'short-heartbeats.ts');

let temporal: TemporalServer;
let cli: TemporalCli;
let deaths: string;
let bundles: string;
let before: Record<string, string[]>;
/** Numbers of kills in addition to those of workers. */
const killed = { temporal: 0, apiserver: 0 };

/** Restarts a worker whenever it dies. */
async function supervise(number: number): Promise<void> {
  for (let start = 0; !over; start++) {
    const worker = await startWorker(lab(), temporal.address, {
      name: `worker-${number}-${start}`,
      script,
      env: { DEATHS: deaths, CNI_MIGRATION_BUNDLES: bundles },
    });
    workers.set(number, worker);
    await new Promise((resolve) => worker.once('exit', resolve));
  }
}

beforeAll(async () => {
  before = await waitForStableState(readState);
  deaths = path.join(lab().layout.dir, 'deaths');
  bundles = path.join(lab().layout.dir, 'short-heartbeats');
  await writeBundles(bundles, [plain], [shortHeartbeats]);
  temporal = await startTemporal(lab());
  cli = new TemporalCli(temporal, lab().layout.context);
  supervised = Promise.all(Array.from({ length: workerCount }, (_, number) => supervise(number)));
});

/** State of a node that depends on its pods. It is compared for the whole cluster, because an eviction moves pods. */
const ofPods = /:cali-(pri|pro)-|^link (cali|lxc)of a pod$|^route dev (cali|lxc)$/;

/** Reads the state that a migration may change and a rollback has to restore. */
async function readState(): Promise<Record<string, string[]>> {
  const kinds = [
    ...['crds', 'clusterroles', 'clusterrolebindings', 'namespaces', 'leases', 'serviceaccounts', 'configmaps'],
    ...['secrets', 'services', 'daemonsets', 'deployments', 'validatingwebhookconfigurations', 'roles', 'rolebindings'],
  ];
  const objects = (await readText(lab(), 'get', kinds.join(','), '-A', '-o', 'name')).split('\n').filter(Boolean);
  const state: Record<string, string[]> = { objects: [...new Set(objects)].sort() };
  for (const node of lab().layout.nodeNames) {
    // The folder of leases is created with a node's first pod, which may be after the first read.
    const traces = await nodeTraces(lab().layout.machineDir(node));
    state[`${node}: traces`] = traces.filter((line) => !line.startsWith('file /var/lib/cni') && !ofPods.test(line));
    state['traces of pods'] = [
      ...new Set([...(state['traces of pods'] ?? []), ...traces.filter((line) => ofPods.test(line))]),
    ].sort();
    const json = JSON.parse(await readText(lab(), 'get', 'node', node, '-o', 'json')) as {
      metadata: { labels: object; annotations: object };
      spec: object;
    };
    state[`${node}: keys`] = [...Object.keys(json.metadata.labels), ...Object.keys(json.metadata.annotations)].sort();
    state[`${node}: spec`] = Object.keys(json.spec).sort();
  }
  return state;
}

async function killTemporal(): Promise<void> {
  const ended = new Promise((resolve) => temporal.process.once('exit', resolve));
  temporal.process.kill('SIGKILL');
  await ended;
  temporal = await startTemporal(lab(), temporal);
  killed.temporal++;
}

/** Kills the API server once it answers: a busy machine may not have restarted it yet since it was killed last. */
async function killApiserver(): Promise<void> {
  await readText(lab(), 'version');
  await runInside(lab().layout.machineDir('control-plane'), ['pkill', '-9', 'kube-apiserver']);
  killed.apiserver++;
}

/** Returns the places at which workers have died so far. */
async function deathLog(): Promise<string[]> {
  return (await readdir(deaths).catch(() => [] as string[])).sort();
}

/** Waits until a worker has died at this place. The condition stays true, so that it cannot be missed. */
async function waitForDeath(where: string): Promise<void> {
  const died = async (): Promise<boolean> => (await deathLog()).includes(where);
  await waitFor(`a worker to die ${where}`, died, { timeoutMs: timeLimits.wholeMigration });
}

/** Waits until a node's migration has started. The condition stays true, so that it cannot be missed. */
async function waitForNodeStart(index: number): Promise<void> {
  await cli.waitForStatus(`the start of node ${index + 1}`, ({ nodes }) => nodes[index]?.startedAt !== undefined);
}

/** Waits until the migration has reached the cutover. The condition stays true, so that it cannot be missed. */
async function waitForCutover(): Promise<void> {
  await cli.waitForStatus('the cutover', ({ timeline }) => timeline.some(({ phase }) => phase === 'cutover'));
}

/** Returns the places before and after every kind of activity at which no worker has died. */
async function placesWithoutDeath(...except: string[]): Promise<string[]> {
  const died = await deathLog();
  const activities = createActivities({
    clusters: kubeconfigClusters(''),
    helm: { binary: '' },
    isOpen: () => Promise.resolve(true),
  });
  return Object.keys(activities)
    .flatMap((name) => [`after ${name}`, `before ${name}`])
    .filter((where) => !died.includes(where) && !except.some((name) => where.endsWith(` ${name}`)))
    .sort();
}

const request = (more: object): string =>
  JSON.stringify({
    ...labMigrationRequest(lab()),
    cleanup: 'approve',
    ledger: { samplesPerSecond: 5, baselineSeconds: 5, afterSeconds: 5 },
    // The API server is killed repeatedly, which affects pods.
    gates: { toleranceMs: 120_000 },
    ...more,
  });
const anyTime = [{ start: '00:00', end: '00:00' }];
/** Starts a migration with a short timeout of workflow tasks, so that those of dead workers are rescheduled soon. */
const start = (input: string): Promise<void> => cli.start(input, 'clusterMigration', '--task-timeout', '3s');

it(
  'changes nothing in a dry run, although the workers crash repeatedly',
  async () => {
    await start(request({ dryRun: true }));
    expect(await cli.waitForEnd()).toMatchObject({ status: 'COMPLETED', result: { phase: 'done', changed: false } });
    await expectEventually('the state before the dry run', readState, before);
  },
  timeLimits.wholeMigration
);

it(
  'migrates and rolls everything back, although workers, Temporal and API server crash repeatedly',
  async () => {
    await start(request({ windows: anyTime }));
    await waitForNodeStart(0);
    await killTemporal();
    await killApiserver();
    await waitForNodeStart(1);
    await killApiserver();
    await waitForCutover();
    await killTemporal();
    await killApiserver();
    await cli.waitForCleanup();
    expect(await deathLog()).not.toContain('before revertNodeFlip');
    await cli.send('rollback', { all: true });
    // The first step of a rollback of a node.
    await waitForDeath('before revertNodeFlip');
    await killTemporal();
    await killApiserver();
    expect(await cli.waitForEnd()).toMatchObject({ status: 'COMPLETED', result: { phase: 'rolled-back' } });
    await expectEventually('the state before the migration', readState, before);
  },
  2 * timeLimits.wholeMigration
);

it(
  'migrates again to the end, although they crash during the cleanup too',
  async () => {
    await start(request({ drain: { mode: 'recycle' } }));
    await cli.waitForCleanup();
    await cli.send('approve', { cleanup: true });
    await waitForDeath('before removeCanal');
    await killTemporal();
    await killApiserver();
    const { status, result } = await cli.waitForEnd();
    expect({ status, result }).toMatchObject({ status: 'COMPLETED', result: { phase: 'done', changed: true } });
    // Measurements are retained when workers die.
    const { ledger = {} } = result as MigrationReport;
    for (const stage of ledgerStages)
      expect({ stage, rows: (ledger[stage] ?? []).length > 10 }).toEqual({ stage, rows: true });
    // The export is kept for the operator.
    const left = async (): Promise<string[]> =>
      Object.values(await readState()).flatMap((lines) =>
        canalOrProjectLines(lines).filter((line) => !line.includes('configmap/calico-export'))
      );
    await expectEventually('no object of Canal or of this project', left, []);
    // Reboots, failing and lost nodes, and unfinished rollbacks have their own tests; waitForNodeChange only runs while
    // nothing else does.
    const except = [
      'waitForReboot',
      'collectDiagnostics',
      'waitForNodeChange',
      'comparePolicies',
      'removeRollbackRecord',
      'recordUnfinished',
      'findApprovals',
    ];
    expect(await placesWithoutDeath(...except)).toEqual([]);
    expect(killed).toEqual({ temporal: 4, apiserver: 5 });
    console.log(
      `Died: ${(await deathLog()).length} workers, Temporal ${killed.temporal}, API server ${killed.apiserver} times.`
    );
  },
  2 * timeLimits.wholeMigration
);
