import type { V1PodList } from '@kubernetes/client-node';
import { startTemporal, startWorker, type TemporalServer } from '../../lab/cluster/temporal.ts';
import { podCidr } from '../../lab/cluster/layout.ts';
import { labMigrationRequest, targetPodCidr } from '../../lab/migration-request.ts';
import { until } from '../../lab/process.ts';
import type { MigrationRequest } from '../../workflows/model/input.ts';
import type { MigrationReport } from '../../workflows/model/status.ts';
import { useLab } from '../support/lab.ts';
import { apply, get } from '../support/objects.ts';
import { matrixObjects, matrixTable, PolicyMatrix, total, type MatrixStage } from '../support/policy-matrix.ts';
import { controlPolicies, groups, matrixChecks, shapes } from '../support/policy-shapes.ts';
import { TemporalCli } from '../support/temporal-cli.ts';
import { workerAccount } from '../support/worker-account.ts';

const lab = useLab({ nodes: 3, app: false });
const intervalMs = Number(process.env['POLICY_INTERVAL_MS'] ?? 1_000);
const settled = 20_000;

let temporal: TemporalServer;
let cli: TemporalCli;
let matrix: PolicyMatrix;
let stopChurn: () => Promise<void>;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

beforeAll(async () => {
  const networks = { podCidrs: [podCidr, targetPodCidr] as const, world: lab().layout.controlPlaneAddress };
  const all = shapes(networks);
  expect(all.length).toBeGreaterThanOrEqual(60);
  await apply(lab(), ...matrixObjects());
  await apply(lab(), ...controlPolicies, ...all.flatMap(({ policies }) => policies));
  for (const { name, namespace } of groups) {
    await lab().kubectl('-n', namespace, 'rollout', 'status', `daemonset/${name}`, '--timeout=180s');
  }
  temporal = await startTemporal(lab());
  await startWorker(lab(), temporal.address, { env: { KUBECONFIG: await workerAccount(lab()) } });
  cli = new TemporalCli(temporal, lab().layout.context);
  matrix = await PolicyMatrix.start(lab(), matrixChecks(all, networks), intervalMs);
  stopChurn = churn();
  // Until Calico has all of them.
  await pause(15_000);
});

afterAll(async () => {
  await stopChurn();
  await matrix.stop();
  console.log(matrixTable(matrix.stages));
  const mistakes = matrix.stages.flatMap(({ stage, mistakes: list }) => (list ?? []).map((one) => ({ stage, ...one })));
  for (const one of mistakes.slice(0, Number(process.env['POLICY_MISTAKES'] ?? 20))) console.log(JSON.stringify(one));
});

/** Restarts and scales a Deployment, again and again. */
function churn(): () => Promise<void> {
  let over = false;
  const going = (async () => {
    for (let round = 0; !over; round++) {
      const deployment = ['-n', 'matrix-blue', 'deployment/churn'];
      const [verb, ...more] =
        round % 2 === 0 ? ['rollout', 'restart'] : ['scale', `--replicas=${round % 4 === 1 ? 3 : 1}`];
      await lab()
        .kubectl(verb ?? '', ...more, ...deployment)
        .catch(() => '');
      await pause(10_000);
    }
  })();
  return async () => {
    over = true;
    await going;
  };
}

/** Deletes pods, as a crash would, and waits until their successors are ready. */
async function restart(selector: string, namespace = 'kube-system'): Promise<void> {
  await lab().kubectl('-n', namespace, 'delete', 'pods', '-l', selector, '--wait=false');
  await pause(2_000);
  await lab().kubectl('-n', namespace, 'wait', 'pods', '-l', selector, '--for=condition=Ready', '--timeout=180s');
}

async function nodeState(name: string): Promise<string | undefined> {
  return (await cli.status().catch(() => undefined))?.nodes.find((node) => node.name === name)?.state;
}

async function untilNode(name: string, ...states: string[]): Promise<void> {
  await until(`${name} to be ${states.join(' or ')}`, async () => states.includes((await nodeState(name)) ?? ''), {
    timeoutMs: 300_000,
    everyMs: 500,
  });
}

async function start(more: Partial<MigrationRequest> = {}): Promise<void> {
  await cli.start(JSON.stringify(labMigrationRequest(lab(), 'every-node', { ledger: quietLedger(), ...more })));
  await cli.approvePlan();
  await untilNode('node1', 'awaiting-approval');
}

/** The probers are not what the machine is to be busy with. */
function quietLedger(): MigrationRequest['ledger'] {
  return { samplesPerSecond: 1, baselineSeconds: 2, afterSeconds: 2 };
}

/** Nothing was judged wrongly in a stage that is over, and a good part of the flows was tried. */
function expectRight(stage: MatrixStage): void {
  const { stage: name, All: flows } = stage;
  expect({ name, enough: flows > 1_000 && total(stage, 'samples') > flows }).toEqual({ name, enough: true });
  expect({ name, mistakes: (stage.mistakes ?? []).slice(0, 5), wrongMs: total(stage, 'wrongMs') }).toEqual({
    name,
    mistakes: [],
    wrongMs: 0,
  });
}

it('judges every flow as specified before the migration, with Canal alone', async () => {
  await matrix.stage('before');
  await pause(settled);
  expectRight(await matrix.stage('coexistence'));
});

it('does so with Cilium beside Canal, and through restarts of both', async () => {
  await start();
  expectRight(await matrix.stage('both networks, agents restarted'));
  await restart('k8s-app=cilium');
  await restart('k8s-app=canal');
  expectRight(await matrix.stage('node1 moves'));
});

it('does so while a node moves, and with pods on both networks', async () => {
  await cli.approve('node1');
  await untilNode('node1', 'migrated', 'failed');
  expect(await nodeState('node1')).toBe('migrated');
  await untilNode('node2', 'awaiting-approval');
  expectRight(await matrix.stage('node1 on Cilium'));
  await pause(settled);
  expectRight(await matrix.stage('node1 on Cilium, agents and bridge restarted'));
  await restart('k8s-app=cilium');
  await restart('app=identity-bridge', 'cni-live-migration');
  await restart('k8s-app=canal');
  expectRight(await matrix.stage('node2 moves'));
});

it('does so until the last pod is on Cilium, through the cut-over and the clean-up, and after it', async () => {
  await cli.approve('node2');
  await untilNode('node2', 'migrated');
  await untilNode('node3', 'awaiting-approval');
  expectRight(await matrix.stage('node2 on Cilium'));
  await pause(settled);
  expectRight(await matrix.stage('node3 moves, cut-over'));
  await cli.approve('node3');
  await until('the clean-up to wait', async () => (await cli.status().catch(() => undefined))?.phase === 'clean-up', {
    timeoutMs: 400_000,
    everyMs: 1_000,
  });
  expectRight(await matrix.stage('clean-up'));
  await cli.send('approve', { cleanup: true });
  const { status, result } = await cli.end();
  expect(status).toBe('COMPLETED');
  expect((result as MigrationReport).policies).toMatchObject({ more: 0 });
  expectRight(await matrix.stage('after'));
  await pause(settled);
  expectRight(await matrix.stage('end'));
});

it('has tried every pair of networks, on one node and on two', async () => {
  const cells = new Set(
    matrix.stages.flatMap(({ counts }) =>
      counts
        .filter(({ samples }) => samples > 100)
        .map(({ from, to, sameNode }) => `${from} to ${to}, ${sameNode ? 'one node' : 'two'}`)
    )
  );
  for (const from of ['canal', 'cilium']) {
    for (const to of ['canal', 'cilium']) {
      expect([...cells]).toContain(`${from} to ${to}, two`);
      expect([...cells]).toContain(`${from} to ${to}, one node`);
    }
  }
  const { items } = await get<V1PodList>(lab(), 'pods', '-A', '-l', 'app=identity-bridge');
  expect(items).toEqual([]);
});
