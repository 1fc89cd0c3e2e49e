import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Client } from '@temporalio/client';
import { projectDir } from '../../lab/paths.ts';
import { run as runCommand } from '../../lab/process.ts';
import { loadCatalogue } from '../../lab/tools/catalogue.ts';
import { scenarios } from './history-scenarios.ts';
import { timeLimits } from './time-limits.ts';
import { WorkflowServer } from './workflow-server.ts';

/**
 * Records the histories that every test run replays, on the fake cluster, so that they contain nothing of a machine.
 * It replaces `test/histories/next`, and never touches the folder of a release.
 *
 * usage: node test/support/record-histories.ts [SCENARIO …]   without names, all scenarios
 */
const folder = path.join(projectDir, 'test', 'histories', 'next');

/** One run of a workflow. */
interface RecordedRun {
  workflowId: string;
  runId: string;
}

/** The part of a history that leads to other runs. */
interface ShownHistory {
  events: {
    workflowExecutionStartedEventAttributes?: { workflowType: { name: string } };
    workflowExecutionContinuedAsNewEventAttributes?: { newExecutionRunId: string };
    childWorkflowExecutionStartedEventAttributes?: { workflowExecution: RecordedRun };
  }[];
}

/** Records a run, the runs that continue it, and its children, in the order in which they started. */
async function recordAll(scenario: string, first: RecordedRun): Promise<number> {
  const dir = path.join(folder, scenario);
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
  const runs = [first];
  for (const [index, run] of runs.entries()) {
    const history = await show(run);
    const [started] = history.events;
    const type = started?.workflowExecutionStartedEventAttributes?.workflowType.name ?? 'unknown';
    const file = `${String(index + 1).padStart(2, '0')}-${type}.json`;
    await writeFile(path.join(dir, file), `${JSON.stringify(history)}\n`);
    for (const event of history.events) {
      const next = event.workflowExecutionContinuedAsNewEventAttributes?.newExecutionRunId;
      const child = event.childWorkflowExecutionStartedEventAttributes?.workflowExecution;
      if (next !== undefined) runs.push({ workflowId: run.workflowId, runId: next });
      if (child !== undefined) runs.push(child);
    }
  }
  return runs.length;
}

/** Returns a history without what names the machine: the identity of the worker and paths of the project. */
async function show({ workflowId, runId }: RecordedRun): Promise<ShownHistory> {
  const command = ['workflow', 'show', '--workflow-id', workflowId, '--run-id', runId, '-o', 'json'];
  const text = await runCommand((await loadCatalogue()).bin('temporal'), ['--address', server.env.address, ...command]);
  return JSON.parse(text, (key, value: unknown) => {
    if (/identity|workerVersion/i.test(key)) return undefined;
    if (typeof value !== 'string') return value;
    return /^\d+@/.test(value) ? 'recorder' : value.replaceAll(`${projectDir}/`, '');
  }) as ShownHistory;
}

/** Plays a scenario. @throws Error when it does not end as it has to. */
async function play(name: string, client: Client, taskQueue: string): Promise<RecordedRun> {
  const scenario = scenarios[name];
  if (scenario === undefined) throw new Error(`there is no scenario ${name}: ${Object.keys(scenarios).join(', ')}`);
  const { workflowId } = await scenario.play(client, taskQueue);
  const handle = client.workflow.getHandle(workflowId);
  // A scenario that does not end is reported, with the state in which it is.
  await client.withDeadline(Date.now() + timeLimits.workflowState, () => handle.result()).catch(() => undefined);
  const { status, raw } = await handle.describe();
  const { ends = 'COMPLETED' } = scenario;
  if (status.name !== ends) throw new Error(`scenario ${name} ended as ${status.name} instead of ${ends}`);
  return { workflowId, runId: raw.workflowExecutionInfo?.firstRunId ?? '' };
}

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(scenarios);
if (process.argv.length === 2) await rm(folder, { recursive: true, force: true });
const server = new WorkflowServer();
await server.start();
try {
  for (const name of names) {
    await server.withWorker(scenarios[name]?.activities() ?? {}, async (client, taskQueue) => {
      const count = await recordAll(name, await play(name, client, taskQueue));
      console.log(`${name}: ${count} histories`);
    });
  }
} finally {
  await server.stop();
}
process.exit();
