import type { Client } from '@temporalio/client';
import * as fc from 'fast-check';
import { statusQuery } from '../../workflows/messages.ts';
import type { MessageName } from '../../model/message-schemas.ts';
import type { MigrationStatus } from '../../model/status.ts';
import { fakeCluster, permanent } from '../support/fake-cluster.ts';
import { startRun, type Run } from '../support/migration-run.ts';
import { timeLimits } from '../support/time-limits.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/**
 * Sends random messages in random order, with activities that fail at random, and checks the rules that must always
 * hold. The scenarios are the same each time unless PROPERTY_SEED is set; PROPERTY_RUNS increases their number.
 */
const seed = Number(process.env['PROPERTY_SEED'] ?? 20_261_124);
const numRuns = Number(process.env['PROPERTY_RUNS'] ?? 2);
/** Maximum number of scenarios in parallel: most of the time they wait for the server. */
const parallelScenarios = 8;

const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

const names = ['a', 'b', 'c', 'd'];
const node = fc.constantFrom(...names);
const message: fc.Arbitrary<{ name: MessageName; input: Record<string, unknown> }> = fc.oneof(
  fc.record({
    name: fc.constant('approve' as const),
    input: fc.oneof(
      node.map((name) => ({ node: name })),
      fc.integer({ min: 1, max: 4 }).map((wave) => ({ wave })),
      fc.constant({ plan: true }),
      fc.constant({ cleanup: true })
    ),
  }),
  fc.record({
    name: fc.constantFrom('skip' as const, 'retry' as const, 'rollback' as const, 'reject' as const),
    input: node.map((name) => ({ node: name })),
  }),
  fc.record({ name: fc.constantFrom('pause' as const, 'resume' as const), input: fc.constant({}) }),
  fc.record({
    name: fc.constant('setMaxConcurrency' as const),
    input: fc.integer({ min: 1, max: 3 }).map((maxConcurrency) => ({ maxConcurrency })),
  }),
  fc.record({ name: fc.constant('forcePod' as const), input: fc.constant({ pod: 'shop/web-1' }) }),
  // Rare, because they end the run.
  fc.record({ name: fc.constantFrom('pause' as const, 'pause' as const, 'abort' as const), input: fc.constant({}) }),
  fc.record({
    name: fc.constant('rollback' as const),
    input: fc.constantFrom({ node: 'a' }, { node: 'b' }, { all: true }),
  })
);
const failingSteps = [
  'drain to cilium',
  'flipNode',
  'verify cilium',
  'recycle to cilium',
  'revertNodeFlip',
  'verify canal',
];
const scenario = fc.record({
  approval: fc.constantFrom('none', 'canary-only', 'every-wave', 'every-node'),
  onFailure: fc.constantFrom('wait', 'rollback', 'stop'),
  size: fc.integer({ min: 1, max: 3 }),
  controlPlanes: fc.subarray(names, { maxLength: 2 }),
  cordonedBefore: fc.subarray(names, { maxLength: 2 }),
  messages: fc.array(fc.record({ afterMs: fc.integer({ min: 0, max: 400 }), message }), { maxLength: 14 }),
  failures: fc.array(fc.record({ step: fc.constantFrom(...failingSteps), node }), { maxLength: 2 }),
});
type Scenario = typeof scenario extends fc.Arbitrary<infer T> ? T : never;

async function runScenario(
  client: Client,
  taskQueue: string,
  example: Scenario,
  cluster: ReturnType<typeof createScenarioCluster>
): Promise<void> {
  const { approval, onFailure, size, messages } = example;
  const run = await startRun(client, taskQueue, {
    cluster: 'prod',
    approval,
    onFailure,
    waves: { maxConcurrency: size },
  });
  for (const {
    afterMs,
    message: { name, input },
  } of messages) {
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    cluster.sent(name, input);
    // A run that has ended accepts no messages.
    await run.signal(name, input).catch(() => undefined);
  }
  cluster.mend();
  await answerAllWaits(run, cluster);
  cluster.check(await run.query(statusQuery));
}

/** Answers every wait, like a human who wants the migration to end. */
async function answerAllWaits(run: Run, cluster: ReturnType<typeof createScenarioCluster>): Promise<void> {
  const deadline = Date.now() + timeLimits.shortTest;
  for (;;) {
    const { status } = await run.describe();
    if (status.name !== 'RUNNING') return;
    if (Date.now() > deadline) throw new Error(`it does not end: ${JSON.stringify(await run.query(statusQuery))}`);
    const { waiting } = await run.query(statusQuery);
    const [answer] = waiting?.answers ?? [];
    if (answer !== undefined) {
      cluster.sent(answer.message as MessageName, answer.input);
      await run.signal(answer.message, answer.input).catch(() => undefined);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Returns a cluster that knows the messages sent, and checks whether each step was allowed. */
function createScenarioCluster({ approval, size, controlPlanes, cordonedBefore, failures }: Scenario) {
  const approved = { nodes: new Set<string>(), waves: new Set<number>(), plan: approval === 'none', cleanup: false };
  let maxConcurrency = size;
  let failuresStopped = false;
  const busy = new Map<string, number>();
  const broken: string[] = [];
  const cluster = fakeCluster({
    nodes: names.map((name) => ({
      name,
      controlPlane: controlPlanes.includes(name),
      cordoned: cordonedBefore.includes(name) ? ('by others' as const) : (false as const),
    })),
    before: async (activity, name) => {
      if (activity === 'applyHelmRelease' && !approved.plan) broken.push('installed without an approved plan');
      if (activity === 'removeCanal' && !approved.cleanup) broken.push('removed Canal without an approval');
      if (
        activity === 'flipNode' &&
        approval === 'every-node' &&
        !approved.nodes.has(name ?? '') &&
        approved.waves.size === 0
      )
        broken.push(`flipped ${name} without an approval`);
      if (
        activity === 'flipNode' &&
        approval === 'every-wave' &&
        approved.waves.size === 0 &&
        !approved.nodes.has(name ?? '')
      )
        broken.push(`flipped ${name} without an approval of its wave`);
      if (name === undefined) return;
      busy.set(name, (busy.get(name) ?? 0) + 1);
      if (!activity.startsWith('cleanHost') && busy.size > maxConcurrency)
        broken.push(`${busy.size} nodes at once: ${[...busy.keys()].join()}`);
      if (
        [...busy.keys()].filter((busyNode) => controlPlanes.includes(busyNode)).length > 1 &&
        !activity.startsWith('cleanHost')
      )
        broken.push('two control planes at once');
      await new Promise((resolve) => setTimeout(resolve, 5));
      const left = (busy.get(name) ?? 1) - 1;
      if (left === 0) busy.delete(name);
      else busy.set(name, left);
      if (!failuresStopped && failures.some((failing) => failing.step === activity && failing.node === name))
        throw permanent('VerificationFailed', `${activity} fails on ${name}`);
    },
  });
  return {
    activities: cluster.activities,
    mend: () => (failuresStopped = true),
    sent: (name: MessageName, input: Readonly<Record<string, unknown>>): void => {
      if (name === 'setMaxConcurrency') maxConcurrency = Math.max(maxConcurrency, input['maxConcurrency'] as number);
      if (name !== 'approve') return;
      if (typeof input['node'] === 'string') approved.nodes.add(input['node']);
      if (typeof input['wave'] === 'number') approved.waves.add(input['wave']);
      if (input['plan'] === true) approved.plan = true;
      if (input['cleanup'] === true) approved.cleanup = true;
    },
    check: (status: MigrationStatus): void => {
      const nodes = [...cluster.nodes.values()];
      const stillTheirs = cordonedBefore.filter((name) => cluster.nodes.get(name)?.cordoned === 'by others');
      expect({ broken, rules: cluster.broken, stillTheirs, lock: cluster.system.lock }).toEqual({
        broken: [],
        rules: [],
        stillTheirs: cordonedBefore,
        lock: '',
      });
      if (status.phase === 'done') expect(nodes.every(({ pods }) => pods === 'cilium')).toBe(true);
      if (status.phase === 'rolled-back') {
        expect(nodes.map(({ pods, cni, flipped }) => ({ pods, cni, flipped }))).toEqual(
          nodes.map(() => ({ pods: 'canal', cni: 'canal', flipped: false }))
        );
        expect(cluster.system).toMatchObject({ canal: true, installed: false });
      }
      // A failure of a node may leave that node cordoned, and no other.
      const failed = new Set(status.nodes.filter(({ state }) => state === 'failed').map(({ name }) => name));
      expect(
        nodes.filter(({ cordoned, name }) => cordoned === 'by us' && !failed.has(name)).map(({ name }) => name)
      ).toEqual([]);
    },
  };
}

it(
  'keeps its rules and comes to an end, whatever is sent and whatever fails',
  async () => {
    const property = fc.asyncProperty(
      fc.array(scenario, { minLength: parallelScenarios, maxLength: parallelScenarios }),
      async (scenarios) => {
        const outcomes = await Promise.allSettled(
          scenarios.map(async (example) => {
            const cluster = createScenarioCluster(example);
            await server.withWorker(cluster.activities, (client, taskQueue) =>
              runScenario(client, taskQueue, example, cluster)
            );
          })
        );
        const failed = outcomes.flatMap((outcome, index) =>
          outcome.status === 'rejected' ? [`${JSON.stringify(scenarios[index])}\n${String(outcome.reason)}`] : []
        );
        if (failed.length > 0) throw new Error(failed.join('\n\n'));
      }
    );
    await fc.assert(property, { seed, numRuns, endOnFailure: true });
  },
  timeLimits.longTest
);
