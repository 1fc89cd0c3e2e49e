import path from 'node:path';
import { startTemporal, startWorker } from '../../lab/cluster/temporal.ts';
import { labMigrationRequest } from '../../lab/migration-request.ts';
import { readEdgeServer, servingEdge, startEdgeServers, waitForEdgeServers } from '../support/edge-server.ts';
import { Holds, type HeldStep } from '../support/holds.ts';
import { useLab } from '../support/lab.ts';
import { apply } from '../support/objects.ts';
import { readNodeNetwork } from '../support/pod-networks.ts';
import { TemporalCli } from '../support/temporal-cli.ts';
import { timeLimits } from '../support/time-limits.ts';
import { expectOnCanal } from '../support/whole-migration.ts';
import { activitiesRunningAt } from '../support/workflow-history.ts';

const lab = useLab({ nodes: 2, app: false });
let holds: Holds;
let cli: TemporalCli;

/** Pods that a drain moves, in addition to those of the edge servers' DaemonSet, which are recycled. */
const movable = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'movable', namespace: 'edge' },
  spec: {
    replicas: 4,
    selector: { matchLabels: { app: 'movable' } },
    template: {
      metadata: { labels: { app: 'movable' } },
      spec: {
        terminationGracePeriodSeconds: 1,
        topologySpreadConstraints: [
          {
            maxSkew: 1,
            topologyKey: 'kubernetes.io/hostname',
            whenUnsatisfiable: 'ScheduleAnyway',
            labelSelector: { matchLabels: { app: 'movable' } },
          },
        ],
        containers: [{ name: 'server', image: 'cni-live-migration/lab-app:1', args: ['server'] }],
      },
    },
  },
};

beforeAll(async () => {
  await startEdgeServers(lab());
  await apply(lab(), movable);
  await lab().kubectl('-n', 'edge', 'rollout', 'status', 'deployment/movable', '--timeout=300s');
  const temporal = await startTemporal(lab());
  holds = new Holds(path.join(lab().layout.dir, 'holds'));
  const script = path.join(import.meta.dirname, '..', 'support', 'holding-worker.ts');
  await startWorker(lab(), temporal.address, { script, env: holds.env });
  cli = new TemporalCli(temporal, lab().layout.context);
  await cli.start(JSON.stringify(labMigrationRequest(lab(), 'every-node')));
  await cli.approvePlan();
  await cli.waitForNode('node1', 'awaiting-approval');
  await cli.approve('node1');
});

it('rolls back a migrated node', async () => {
  await cli.waitForNode('node1', 'migrated');
  expect((await readNodeNetwork(lab(), 'node1')).networks).toEqual(['Cilium']);
  expect(await cli.update('rollback', { node: 'node1', reason: 'an exercise' })).toContain(
    'rollback of node1 requested'
  );
  await cli.waitForNode('node1', 'rolled-back');
  await expectOnCanal(lab(), 'node1');
});

/** Steps that the test holds, the activity that the history shows then, and the earlier steps that the test releases. */
const moments: readonly { moment: string; passed: readonly HeldStep[]; held: HeldStep; activity: string }[] = [
  { moment: 'while it is drained', passed: [], held: 'drainNode', activity: 'drainNode' },
  { moment: 'while its first pod is verified', passed: [], held: 'verifyNode', activity: 'verifyNode' },
  { moment: 'while its remaining pods are recycled', passed: [], held: 'recyclePods', activity: 'drainNode' },
  { moment: 'while its paths are verified', passed: ['recyclePods'], held: 'verifyNode', activity: 'verifyNode' },
];

it.each(moments)(
  'rolls back a node $moment',
  async ({ passed, held, activity }) => {
    const steps = [...passed, held];
    const [first = held] = steps;
    await holds.arm(first, 'node1');
    await cli.send('retry', { node: 'node1' });
    for (const [index, step] of steps.entries()) {
      await holds.waitUntilHeld(step, 'node1');
      const next = steps[index + 1];
      if (next === undefined) break;
      await holds.arm(next, 'node1');
      await holds.release(step, 'node1');
    }
    await cli.send('rollback', { node: 'node1' });
    await cli.waitForNode('node1', 'rolled-back');

    const history = await cli.nodeHistory('node1');
    expect(activitiesRunningAt(history, history.cancelRequestedMs ?? 0)).toContainEqual(
      expect.objectContaining({ name: activity, outcome: 'canceled' })
    );
    await expectOnCanal(lab(), 'node1');
  },
  timeLimits.wholeNode
);

it('migrates a node that was rolled back repeatedly', async () => {
  await cli.send('retry', { node: 'node1' });
  await cli.waitForNode('node1', 'migrated');
  expect((await readNodeNetwork(lab(), 'node1')).networks).toEqual(['Cilium']);
  await waitForEdgeServers(lab());
  expect(await readEdgeServer(lab(), 'node1')).toEqual(servingEdge);
});
