import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { projectDir } from '../../lab/paths.ts';
import { run as runCommand } from '../../lab/process.ts';
import { loadCatalogue } from '../../lab/tools/catalogue.ts';
import { signal } from '../../workflows/messages.ts';
import { fakeCluster, permanent } from './fake-cluster.ts';
import { startRun, unattendedRequest, waitForPendingWait, type Run } from './migration-run.ts';
import { WorkflowServer } from './workflow-server.ts';

/**
 * Records the histories that every test run replays, on the fake cluster, so that they contain nothing of a machine.
 * Run it once for each release; histories of earlier releases stay, because their runs may still be open.
 *
 * usage: node test/support/record-histories.ts FOLDER
 */
const [folder = path.join(import.meta.dirname, '..', 'histories')] = process.argv.slice(2);

interface Scenario {
  input: object;
  options?: Parameters<typeof fakeCluster>[0];
  play?: (run: Run) => Promise<unknown>;
}
let broken = true;
const scenarios: Record<string, Scenario> = {
  undisturbed: { input: { ...unattendedRequest, waves: { maxConcurrency: 2 } } },
  'with-people': {
    input: { cluster: 'prod', approval: 'every-wave' },
    options: {
      nodes: ['a', 'b'],
      before: (activity, node) => {
        if (broken && activity === 'verify cilium' && node === 'a') throw permanent('VerificationFailed', 'no DNS');
      },
    },
    play: async (run) => {
      await waitForPendingWait(run, 'approval of the plan');
      await run.signal(signal('pause'), { by: 'ann' });
      await waitForPendingWait(run, 'resume');
      await run.signal(signal('resume'), {});
      await run.signal(signal('approve'), { plan: true });
      await waitForPendingWait(run, 'approval of wave 1');
      await run.signal(signal('approve'), { wave: 1 });
      await waitForPendingWait(run, 'a decision about a');
      await run.signal(signal('rollback'), { node: 'a' });
      await waitForPendingWait(run, 'approval of wave 2');
      await run.signal(signal('skip'), { node: 'b' });
      broken = false;
      await run.signal(signal('retry'), { node: 'a' });
      await run.signal(signal('approve'), { wave: 2 });
      await waitForPendingWait(run, 'a decision about b');
      await run.signal(signal('retry'), { node: 'b' });
      await run.signal(signal('approve'), { wave: 3 });
      await waitForPendingWait(run, 'approval of the cleanup');
      await run.signal(signal('approve'), { cleanup: true });
    },
  },
  'rolled-back': {
    input: { ...unattendedRequest, cleanup: 'approve' },
    options: { nodes: ['a'] },
    play: async (run) => {
      await waitForPendingWait(run, 'approval of the cleanup');
      await run.signal(signal('rollback'), { all: true });
    },
  },
};

async function record(file: string, workflowId: string): Promise<void> {
  const show = ['--address', server.env.address, 'workflow', 'show', '--workflow-id', workflowId, '-o', 'json'];
  const history: unknown = JSON.parse(await runCommand((await loadCatalogue()).bin('temporal'), show));
  // The identity of the worker and its own queue are not relevant, and name a machine.
  const text = JSON.stringify({ workflowId, history }, (key, value: unknown) => {
    if (/identity|workerVersion/i.test(key)) return undefined;
    if (typeof value !== 'string') return value;
    return /^\d+@/.test(value) ? 'recorder' : value.replaceAll(`${projectDir}/`, '');
  });
  await writeFile(path.join(folder, `${file}.json`), `${text}\n`);
}

await mkdir(folder, { recursive: true });
const server = new WorkflowServer();
await server.start();
for (const [name, { input, options, play }] of Object.entries(scenarios)) {
  const cluster = fakeCluster(options);
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, input);
    await play?.(run);
    await run.result();
    await record(name, run.workflowId);
    // The last workflow of a node: a migration or a rollback.
    await record(`${name}-node`, `${run.workflowId}/node/a`);
  });
}
await server.stop();
