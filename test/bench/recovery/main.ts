import type { ChildProcess } from 'node:child_process';
import path from 'node:path';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { labUp, type Lab } from '../../../lab/cluster/lab.ts';
import { startTemporal, startWorker, type TemporalServer } from '../../../lab/cluster/temporal.ts';
import { waitFor } from '../../../lab/process.ts';
import type { fleetMigration } from '../../../workflows/index.ts';
import { defaultTaskQueue, fleetStatusQuery } from '../../../workflows/messages.ts';
import { recordResult } from '../regressions.ts';
import { rounded } from '../results.ts';
import { withLab } from '../with-lab.ts';
import { recoveryRatios, type RecoveryResult } from './result.ts';

const tries = 3;

/** Measures the time until work continues after a process was killed, with real workers and a real Temporal. */
async function bench(): Promise<void> {
  await withLab(async (name) => {
    const lab = await labUp({ name, nodes: 0, ephemeral: true });
    let temporal = await startTemporal(lab);
    const result: RecoveryResult = {
      heartbeatTimeoutSeconds: 10,
      activity: [],
      workflow: [],
      server: [],
      serverAnswers: [],
    };
    for (let attempt = 0; attempt < tries; attempt++) {
      result.activity.push(await killInActivity(lab, temporal, attempt));
      result.workflow.push(await killInWait(lab, temporal, attempt));
      const server = await killServer(lab, temporal, attempt);
      temporal = server.temporal;
      result.server.push(server.actedOn);
      result.serverAnswers.push(server.answers);
    }
    await recordResult('recovery', result, recoveryRatios);
    console.error(JSON.stringify(result));
  });
}

async function worker(lab: Lab, temporal: TemporalServer, name: string, env: NodeJS.ProcessEnv = {}) {
  const script = path.join(import.meta.dirname, 'worker.ts');
  return startWorker(lab, temporal.address, { name, script, env });
}

async function withClient<T>(temporal: TemporalServer, work: (client: Client) => Promise<T>): Promise<T> {
  const connection = await Connection.connect({ address: temporal.address });
  try {
    return await work(new Client({ connection }));
  } finally {
    await connection.close();
  }
}

async function killInActivity(lab: Lab, temporal: TemporalServer, attempt: number): Promise<number> {
  return withClient(temporal, async (client) => {
    const first = await worker(lab, temporal, `hangs-${attempt}`, { HANG: '1' });
    const run = await client.workflow.start('clusterPolicyReport', {
      taskQueue: defaultTaskQueue,
      workflowId: `activity-${attempt}`,
      args: [{ cluster: 'any' }],
    });
    const begun = async (): Promise<boolean> => {
      const { raw } = await run.describe();
      return raw.pendingActivities?.some((pending) => pending.lastStartedTime) ?? false;
    };
    await waitFor('the activity', begun, { timeoutMs: 60_000 });
    const second = await worker(lab, temporal, `goes-on-${attempt}`);
    // By now, the second worker polls, and the first has sent one more heartbeat.
    await new Promise((resolve) => setTimeout(resolve, 8_000));
    const seconds = await measureRecoverySeconds(first, () => run.result());
    await stopChild(second);
    return seconds;
  });
}

async function killInWait(lab: Lab, temporal: TemporalServer, attempt: number): Promise<number> {
  return withClient(temporal, async (client) => {
    const first = await worker(lab, temporal, `waits-${attempt}`);
    const run = await startWaitingFleet(client, `wait-${attempt}`);
    const second = await worker(lab, temporal, `takes-over-${attempt}`);
    await new Promise((resolve) => setTimeout(resolve, 8_000));
    const seconds = await measureRecoverySeconds(first, async () => {
      await run.signal('skip', { cluster: 'any' });
      await run.result();
    });
    await stopChild(second);
    return seconds;
  });
}

async function killServer(lab: Lab, temporal: TemporalServer, attempt: number) {
  const only = await worker(lab, temporal, `outlasts-${attempt}`);
  await withClient(temporal, (client) => startWaitingFleet(client, `server-${attempt}`));
  const begin = Date.now();
  await stopChild(temporal.process, 'SIGKILL');
  const restarted = await startTemporal(lab, temporal);
  const answers = rounded((Date.now() - begin) / 1_000);
  const actedOn = await withClient(restarted, async (client) => {
    const run = client.workflow.getHandle(`server-${attempt}`);
    await run.signal('skip', { cluster: 'any' });
    await run.result();
    return rounded((Date.now() - begin) / 1_000);
  });
  await stopChild(only);
  return { temporal: restarted, answers, actedOn };
}

/** Starts a workflow that waits for a message, and is cached in its worker's memory. */
async function startWaitingFleet(client: Client, workflowId: string): Promise<WorkflowHandle<typeof fleetMigration>> {
  const run = await client.workflow.start<typeof fleetMigration>('fleetMigration', {
    taskQueue: defaultTaskQueue,
    workflowId,
    args: [{ fleet: 'bench', clusters: [{ cluster: 'any' }] }],
  });
  await waitFor('the wait', async () => (await run.query(fleetStatusQuery)).waitingFor !== undefined, {
    timeoutMs: 60_000,
  });
  return run;
}

/**
 * Kills a worker.
 * @returns the time that the work takes from then on, in seconds.
 */
async function measureRecoverySeconds(victim: ChildProcess, work: () => Promise<unknown>): Promise<number> {
  const begin = Date.now();
  victim.kill('SIGKILL');
  await work();
  return rounded((Date.now() - begin) / 1_000);
}

/** Ends a process, gracefully by default, and waits for its end. */
async function stopChild(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  // Processes of a lab do not keep this process alive; the wait for their end has to.
  child.ref();
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await ended;
}

await bench();
