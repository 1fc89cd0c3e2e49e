import type { RepeatedStep } from '../../model/attempts.ts';
import type { FailureType } from '../../model/failure-types.ts';
import type { MigrationStatus } from '../../model/status.ts';
import { statusQuery } from '../../workflows/messages.ts';
import { FailingActivity } from '../support/failing-activity.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import { lengthenHistory, send, waitFor } from '../support/interventions.ts';
import {
  approvePlan,
  startRun,
  unattendedRequest,
  waitForFailure,
  waitForMigrationStatus,
  waitForPendingWait,
  type Run,
} from '../support/migration-run.ts';
import { skipTime } from '../support/time-skips.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** Steps of the whole cluster that fail for a reason that may pass: they are shown, and become a question. */
const server = new WorkflowServer({ skipsTime: true });
beforeAll(() => server.start());
afterAll(() => server.stop());

const minuteMs = 60_000;
type Cluster = ReturnType<typeof fakeCluster>;

/** Waits until a status has a repeated step that satisfies a condition. */
function waitForStep(run: Run, condition: (step: RepeatedStep) => boolean): Promise<MigrationStatus> {
  return waitForMigrationStatus(run, ({ repeatedSteps = [] }) => repeatedSteps.some(condition));
}

const isStopped = ({ state }: RepeatedStep): boolean => state === 'stopped';
const isOverdue = ({ state }: RepeatedStep): boolean => state === 'overdue';

/** Runs a migration of which a step fails. */
async function withFailingStep(
  failing: FailingActivity,
  test: (run: Run, cluster: Cluster) => Promise<void>,
  input: object = unattendedRequest
): Promise<Cluster> {
  const cluster = fakeCluster({ nodes: ['a', 'b', 'c'], before: failing.before });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    await test(await startRun(client, taskQueue, input), cluster);
  });
  expect(cluster.broken).toEqual([]);
  return cluster;
}

/** Steps, with the number of attempts after which each is a question. */
const steps: readonly { activity: string; type: FailureType; summary: string; bound: number }[] = [
  { activity: 'removeCanalTraces', type: 'CleanupIncomplete', summary: "remove Calico's CRDs", bound: 40 },
  { activity: 'applyHelmRelease', type: 'HelmFailed', summary: 'install Cilium next to Canal', bound: 8 },
  { activity: 'planDetails', type: 'KubernetesForbidden', summary: 'compute plan', bound: 40 },
];

describe.each(steps)('$type in the step "$summary"', ({ activity, type, summary, bound }) => {
  it('is shown after two attempts, with the attempt and the failure', async () => {
    const failing = new FailingActivity(activity, type, { heldAttempt: 3 });
    await withFailingStep(failing, async (run) => {
      const { waiting, waitingFor, repeatedSteps = [] } = await waitForStep(run, ({ attempts }) => attempts === 2);

      expect(repeatedSteps).toMatchObject([
        { state: 'repeating', attempts: 2, failure: { type, message: 'the reason' } },
      ]);
      expect(waiting?.kind).toBe('step');
      expect(waitingFor).toContain(`the step "${summary}`);
      expect(waitingFor).toContain(`attempt 2 failed (${type}: the reason)`);
      failing.repair();
      expect(await run.result()).toMatchObject({ phase: 'done' });
      expect(await run.query(statusQuery)).not.toHaveProperty('repeatedSteps');
    });
  });

  it('is a question after the last attempt, and no attempt follows before the answer', async () => {
    const failing = new FailingActivity(activity, type);
    await withFailingStep(failing, async (run) => {
      const { waiting, waitingFor, repeatedSteps = [] } = await waitForStep(run, isStopped);
      const step = repeatedSteps[0]?.step ?? '';

      expect({ kind: waiting?.kind, key: waiting?.key }).toEqual({ kind: 'decision', key: step });
      expect(waitingFor).toContain(`a decision about the step "${summary}`);
      expect(waitingFor).toContain(`attempt ${bound} failed (${type}: the reason)`);
      expect(waiting?.answers).toContainEqual({ does: 'try the step again', message: 'retry', input: { step } });
      await skipTime(run, 10 * minuteMs);
      expect(failing.total).toBe(bound);
      failing.repair();
      expect(await send(run, 'retry', { step })).toBe(`repeated: "${step}"`);
      expect(await run.result()).toMatchObject({ phase: 'done' });
    });
  });
});

it('has as many attempts again after a retry', async () => {
  const failing = new FailingActivity('removeCanalTraces', 'CleanupIncomplete');
  await withFailingStep(failing, async (run) => {
    await waitForStep(run, isStopped);
    await send(run, 'retry', { all: true });

    await waitForStep(run, (step) => isStopped(step) && step.attempts === 80);

    expect(failing.total).toBe(80);
    failing.repair();
    await send(run, 'retry', { all: true });
    expect(await run.result()).toMatchObject({ phase: 'done' });
  });
});

it('reminds of a question', async () => {
  const failing = new FailingActivity('deployProbers', 'KubernetesError');
  const input = { ...unattendedRequest, reminderSeconds: 3_600 };
  await withFailingStep(
    failing,
    async (run) => {
      await waitForStep(run, isStopped);

      await skipTime(run, 150 * minuteMs);

      expect((await run.query(statusQuery)).waiting?.reminders).toBe(2);
      await send(run, 'abort');
      expect(await waitForFailure(run)).toMatchObject({ type: 'Aborted' });
    },
    input
  );
});

describe('while a step waits for an answer', () => {
  it('an abort ends the migration', async () => {
    const failing = new FailingActivity('applyHelmRelease', 'HelmFailed');
    const cluster = await withFailingStep(failing, async (run) => {
      await waitForStep(run, isStopped);

      expect(await send(run, 'abort')).toContain('abort requested');

      expect(await waitForFailure(run)).toMatchObject({ type: 'Aborted' });
    });
    expect(failing.total).toBe(8);
    expect(cluster.system.lock).toBe('');
  });

  it('a rollback of all nodes is executed', async () => {
    const failing = new FailingActivity('restartOutdatedAgent', 'KubernetesError');
    const cluster = await withFailingStep(failing, async (run) => {
      const { phase, waiting } = await waitForStep(run, isStopped);
      expect(phase).toBe('cutover');
      expect(waiting?.answers.map(({ message }) => message)).toEqual(['retry', 'abort', 'rollback']);
      failing.repair();

      await send(run, 'rollback', { all: true });

      expect(await run.result()).toMatchObject({ phase: 'rolled-back' });
    });
    expect(cluster.system).toMatchObject({ canal: true, installed: false, lock: '' });
  });

  it('a cancellation ends the run', async () => {
    const failing = new FailingActivity('applyHelmRelease', 'HelmFailed');
    const cluster = await withFailingStep(failing, async (run) => {
      await waitForStep(run, isStopped);

      await run.cancel();

      await expect(run.result()).rejects.toThrow();
    });
    expect(cluster.system.lock).toBe('');
  });

  it('a retry is the only answer after the point of no return', async () => {
    const failing = new FailingActivity('removeCanal', 'KubernetesError');
    await withFailingStep(failing, async (run) => {
      const { waiting } = await waitForStep(run, isStopped);

      expect(waiting?.answers.map(({ message }) => message)).toEqual(['retry']);
      expect(await send(run, 'skip', { step: 'remove Canal' })).toMatch(/^no: /);
      failing.repair();
      await send(run, 'retry', { step: 'remove Canal' });
      expect(await run.result()).toMatchObject({ phase: 'done' });
    });
  });

  it('a step of the report is skipped, and a note says who did it', async () => {
    const failing = new FailingActivity('ledger during', 'KubernetesError');
    await withFailingStep(failing, async (run) => {
      const { waiting } = await waitForStep(run, isStopped);
      const step = 'record stage during of the ledger';
      expect(waiting?.answers.map(({ message, input }) => [message, input])).toEqual([
        ['retry', { step }],
        ['skip', { step }],
      ]);

      expect(await send(run, 'skip', { step, by: 'ann' })).toBe(`skipped: "${step}"`);

      const report = await run.result();
      expect(report.phase).toBe('done');
      expect(report.notes).toContain(`the step "${step}" was skipped by ann`);
      expect(failing.total).toBe(40);
    });
  });

  it('several steps are answered at once', async () => {
    const failing = new FailingActivity('restartOutdatedAgent', 'KubernetesError');
    const healthy = new Set(['a']);
    const cluster = fakeCluster({
      nodes: ['a', 'b', 'c'],
      before: (activity, node) => (healthy.has(node ?? '') ? undefined : failing.before(activity, node)),
    });
    await server.withWorker(cluster.activities, async (client, taskQueue) => {
      const run = await startRun(client, taskQueue, { ...unattendedRequest, waves: { canaryNode: 'a' } });
      const { waiting } = await waitForMigrationStatus(
        run,
        ({ repeatedSteps = [] }) => repeatedSteps.filter(isStopped).length === 2
      );
      expect(waiting?.answers.map(({ input }) => input)).toContainEqual({ all: true });
      failing.repair();

      const answer = await send(run, 'retry', { all: true });

      expect(answer).toContain('"b: restart agent with final configuration"');
      expect(answer).toContain('"c: restart agent with final configuration"');
      expect(await run.result()).toMatchObject({ phase: 'done' });
    });
  });
});

describe('a step without an answer of the API server', () => {
  it('is a question after 10 minutes, and continues when the API server is back', async () => {
    const failing = new FailingActivity('deployProbers', 'ClusterUnreachable');
    await withFailingStep(failing, async (run) => {
      await waitForStep(run, ({ attempts }) => attempts > 40);
      expect((await run.query(statusQuery)).waiting?.answers.map(({ message }) => message)).toEqual([
        'abort',
        'rollback',
      ]);
      await skipTime(run, 10 * minuteMs);

      const { waiting, waitingFor } = await waitForStep(run, isOverdue);

      expect(waitingFor).toContain('which is repeated until the API server answers');
      expect(waiting?.answers.map(({ message }) => message)).toEqual(['retry', 'abort', 'rollback']);
      const before = failing.total;
      await waitFor(() => failing.total > before + 10);
      failing.repair();
      expect(await run.result()).toMatchObject({ phase: 'done' });
    });
  });

  it('is repeated without a question after a retry', async () => {
    const failing = new FailingActivity('deployProbers', 'ClusterUnreachable');
    await withFailingStep(failing, async (run) => {
      await waitForStep(run, ({ state }) => state === 'repeating');
      await skipTime(run, 10 * minuteMs);
      await waitForStep(run, isOverdue);

      expect(await send(run, 'retry', { step: 'deploy probers' })).toBe('repeated: "deploy probers"');

      const { waiting } = await waitForStep(run, ({ state }) => state === 'repeating');
      expect(waiting?.answers.map(({ message }) => message)).toEqual(['abort', 'rollback']);
      expect(await send(run, 'abort')).toContain('abort requested');
      expect(await waitForFailure(run)).toMatchObject({ type: 'Aborted' });
    });
  });
});

describe('where nobody is asked', () => {
  it('ends the run after the last attempt with onFailure: stop', async () => {
    const failing = new FailingActivity('deployProbers', 'KubernetesForbidden');
    await withFailingStep(
      failing,
      async (run) => {
        expect(await waitForFailure(run)).toMatchObject({ type: 'KubernetesForbidden', message: 'the reason' });
        expect(failing.total).toBe(40);
      },
      { ...unattendedRequest, onFailure: 'stop' }
    );
  });

  it('ends a dry run after the last attempt', async () => {
    const failing = new FailingActivity('planDetails', 'KubernetesForbidden');
    await withFailingStep(
      failing,
      async (run) => {
        expect(await waitForFailure(run)).toMatchObject({ type: 'KubernetesForbidden' });
      },
      { cluster: 'prod', dryRun: true }
    );
  });
});

it('asks again in a run that has continued as new and cannot read the cluster', async () => {
  const historyLimit = 200;
  let inspections = 0;
  const failing = new FailingActivity('inspectCluster', 'KubernetesForbidden');
  const cluster = fakeCluster({
    nodes: ['a'],
    before: (activity, node) =>
      activity === 'inspectCluster' && ++inspections === 1 ? undefined : failing.before(activity, node),
  });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const input = { cluster: 'prod', approval: 'every-wave', cleanup: 'automatic' };
    const run = await startRun(client, taskQueue, input, { historyLimit });
    await approvePlan(run);
    await waitForPendingWait(run, 'approval of wave 1');
    await lengthenHistory(run, historyLimit);
    const current = client.workflow.getHandle(run.workflowId) as Run;
    await waitForStep(current, isStopped);
    failing.repair();

    expect(await send(current, 'retry', { step: 'inspect cluster' })).toBe('repeated: "inspect cluster"');

    const { waiting, ...status } = await waitForPendingWait(current, 'approval of wave 1');
    expect(waiting?.kind).toBe('approval');
    expect(status).not.toHaveProperty('repeatedSteps');
    await send(current, 'abort');
    expect(await waitForFailure(current)).toMatchObject({ type: 'Aborted' });
  });
});
