import type { ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { createActivities } from '../../activities/index.ts';
import { kubeconfigClusters } from '../../activities/kubernetes/connection.ts';
import { startTemporal, startWorker, type TemporalServer } from '../../lab/cluster/temporal.ts';
import { runInside } from '../../lab/machine/machine.ts';
import { labMigrationRequest } from '../../lab/migration-request.ts';
import { until } from '../../lab/process.ts';
import { plain, writeBundles } from '../../worker/bundle.ts';
import { ledgerStages } from '../../model/ledger.ts';
import type { MigrationReport, MigrationStatus } from '../../model/status.ts';
import { useLab } from '../support/lab.ts';
import { nodeTraces, ofCanalOrOurs } from '../support/node-traces.ts';
import { TemporalCli } from '../support/temporal-cli.ts';

/** Keeps a worker running, however often it dies. */
let worker: ChildProcess | undefined;
let over = false;
let supervised: Promise<void> | undefined;
// Before the lab's own: nothing may run in its folder when that is removed.
afterAll(async () => {
  over = true;
  worker?.kill('SIGKILL');
  await supervised;
});

// Without the sample application: what it takes to move pods is tested elsewhere, and here every step is made thrice.
const lab = useLab({ nodes: 2, app: false });
const support = path.join(import.meta.dirname, '..', 'support');
const script = path.join(support, 'dying-worker.ts');
const impatient = path.join(support, 'impatient-workflows.ts');

let temporal: TemporalServer;
let cli: TemporalCli;
let deaths: string;
let bundles: string;
let before: Record<string, string[]>;
/** What was killed beside the worker, and how often. */
const killed = { temporal: 0, apiserver: 0 };

async function supervise(): Promise<void> {
  for (let number = 0; !over; number++) {
    const started = await startWorker(lab(), temporal.address, {
      name: `w${number}`,
      script,
      env: { DEATHS: deaths, CNI_MIGRATION_BUNDLES: bundles },
    });
    worker = started;
    await new Promise((resolve) => started.once('exit', resolve));
  }
}

beforeAll(async () => {
  before = await stateOf();
  deaths = path.join(lab().layout.dir, 'deaths');
  bundles = path.join(lab().layout.dir, 'impatient');
  await writeBundles(bundles, [plain], { workflowInterceptorModules: [impatient] });
  temporal = await startTemporal(lab());
  cli = new TemporalCli(temporal, lab().layout.context);
  supervised = supervise();
});

/** What a node has for the pods that happen to be on it: compared for the whole cluster, for an eviction moves them. */
const ofPods = /:cali-(pri|pro)-|^link (cali|lxc)of a pod$|^route dev (cali|lxc)$/;

/** Everything that a migration may change and a roll-back has to restore. */
async function stateOf(): Promise<Record<string, string[]>> {
  const kinds = [
    ...['crds', 'clusterroles', 'clusterrolebindings', 'namespaces', 'leases', 'serviceaccounts', 'configmaps'],
    ...['secrets', 'services', 'daemonsets', 'deployments', 'validatingwebhookconfigurations', 'roles', 'rolebindings'],
  ];
  const objects = (await lab().kubectl('get', kinds.join(','), '-A', '-o', 'name')).split('\n').filter(Boolean);
  const state: Record<string, string[]> = { objects: [...new Set(objects)].sort() };
  for (const node of lab().layout.nodeNames) {
    // The folder of leases comes with a node's first pod, which may be after the first look.
    const traces = await nodeTraces(lab().layout.machineDir(node));
    state[`${node}: traces`] = traces.filter((line) => !line.startsWith('file /var/lib/cni') && !ofPods.test(line));
    state['traces of pods'] = [
      ...new Set([...(state['traces of pods'] ?? []), ...traces.filter((line) => ofPods.test(line))]),
    ].sort();
    const json = JSON.parse(await lab().kubectl('get', 'node', node, '-o', 'json')) as {
      metadata: { labels: object; annotations: object };
      spec: object;
    };
    state[`${node}: keys`] = [...Object.keys(json.metadata.labels), ...Object.keys(json.metadata.annotations)].sort();
    state[`${node}: spec`] = Object.keys(json.spec).sort();
  }
  return state;
}

/** The status, whenever somebody answers. */
async function untilStatus(what: string, wanted: (status: MigrationStatus) => boolean): Promise<void> {
  const holds = async (): Promise<boolean> => {
    const status = await cli.status().catch(() => undefined);
    return status !== undefined && wanted(status);
  };
  await until(what, holds, { timeoutMs: 900_000, everyMs: 1_000 });
}

async function killTemporal(): Promise<void> {
  const ended = new Promise((resolve) => temporal.process.once('exit', resolve));
  temporal.process.kill('SIGKILL');
  await ended;
  temporal = await startTemporal(lab(), temporal);
  killed.temporal++;
}

async function killApiserver(): Promise<void> {
  await runInside(lab().layout.machineDir('control-plane'), ['pkill', '-9', 'kube-apiserver']);
  killed.apiserver++;
}

/** Where the worker has died, of what it has run so far. */
async function deathLog(): Promise<string[]> {
  return (await readFile(deaths, 'utf8').catch(() => '')).trim().split('\n').sort();
}

/** Every kind of activity: those of which no worker has died on both sides. */
async function notDied(...except: string[]): Promise<string[]> {
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
    cleanUp: 'approve',
    ledger: { samplesPerSecond: 5, baselineSeconds: 5, afterSeconds: 5 },
    // The API server is killed again and again, and pods do notice.
    gates: { toleranceMs: 120_000 },
    ...more,
  });
const anyTime = [{ start: '00:00', end: '00:00' }];

it('rehearses without leaving anything changed, though the worker dies again and again', async () => {
  await cli.start(request({ dryRun: true }));
  expect(await cli.end()).toMatchObject({ status: 'COMPLETED', result: { phase: 'done', changed: false } });
  expect(await stateOf()).toEqual(before);
}, 900_000);

it('migrates, and takes everything back, though worker, Temporal and API server die again and again', async () => {
  await cli.start(request({ windows: anyTime }));
  await untilStatus('the first node', ({ nodes }) => nodes[0]?.state === 'migrating');
  await killTemporal();
  await killApiserver();
  await untilStatus('the second node', ({ nodes }) => nodes[1]?.state === 'migrating');
  await killApiserver();
  await untilStatus('the cut-over', ({ phase }) => phase === 'cut-over');
  await killTemporal();
  await killApiserver();
  await untilStatus(
    'the clean-up to wait',
    ({ phase, waitingFor }) => phase === 'clean-up' && waitingFor !== undefined
  );
  await cli.send('rollback', { all: true });
  await untilStatus(
    'the way back',
    ({ phase, nodes }) => phase === 'rolling-back' && nodes[1]?.state === 'rolling-back'
  );
  await killTemporal();
  await killApiserver();
  expect(await cli.end()).toMatchObject({ status: 'COMPLETED', result: { phase: 'rolled-back' } });
  expect(await stateOf()).toEqual(before);
}, 1_800_000);

it('migrates again, to the end, though they die in the middle of the clean-up too', async () => {
  await cli.start(request({ drain: { mode: 'recycle' } }));
  await untilStatus(
    'the clean-up to wait',
    ({ phase, waitingFor }) => phase === 'clean-up' && waitingFor !== undefined
  );
  await cli.send('approve', { cleanup: true });
  const begun = async (): Promise<boolean> => (await deathLog()).includes('before removeCanal');
  await until('the clean-up to begin', begun, { timeoutMs: 300_000 });
  await killTemporal();
  await killApiserver();
  const { status, result } = await cli.end();
  expect({ status, result }).toMatchObject({ status: 'COMPLETED', result: { phase: 'done', changed: true } });
  // What was measured outlives every worker.
  const { ledger = {} } = result as MigrationReport;
  for (const stage of ledgerStages)
    expect({ stage, rows: (ledger[stage] ?? []).length > 10 }).toEqual({ stage, rows: true });
  for (const [part, lines] of Object.entries(await stateOf())) {
    // The export stays: it is the operator's.
    const left = ofCanalOrOurs(lines).filter((line) => !line.includes('configmap/calico-export'));
    expect({ part, left }).toEqual({ part, left: [] });
  }
  // Reboots and failing nodes have tests of their own; a node that changes while nothing else goes on is only waited for.
  expect(await notDied('waitForReboot', 'collectDiagnostics', 'waitForNodeChange', 'comparePolicies')).toEqual([]);
  console.log(
    `Died: ${(await deathLog()).length} workers, Temporal ${killed.temporal}, API server ${killed.apiserver} times.`
  );
}, 1_800_000);
