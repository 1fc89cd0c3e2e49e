import { randomUUID } from 'node:crypto';
import type { Client } from '@temporalio/client';
import * as fc from 'fast-check';
import type { MigrationStatus } from '../../../model/status.ts';
import type { clusterMigration } from '../../../workflows/index.ts';
import { statusQuery } from '../../../workflows/messages.ts';
import { send } from '../interventions.ts';
import type { Run } from '../migration-run.ts';
import { timeLimits } from '../time-limits.ts';
import { skipTime } from '../time-skips.ts';
import type { WorkflowServer } from '../workflow-server.ts';
import { ScenarioActivities } from './scenario-activities.ts';
import { ScenarioCluster, type Outcome } from './rules.ts';
import { scenario, type Event, type Message, type Scenario } from './scenario.ts';

/** Number of scenarios in parallel: most of the time they wait for the server. */
const parallelScenarios = 8;

/** Maximum number of runs of a scenario: each of its events may end one. */
const maxRuns = 30;

/**
 * Plays random scenarios, and checks the rules that must always hold. The scenarios are the same each time unless
 * PROPERTY_SEED is set; PROPERTY_RUNS sets their number, and PROPERTY_PATH repeats those of a failure.
 * @param usualScenarios their number without PROPERTY_RUNS.
 */
export async function playScenarios(server: WorkflowServer, usualScenarios: number): Promise<void> {
  const seed = Number(process.env['PROPERTY_SEED'] ?? 20_261_124);
  const scenarios = Number(process.env['PROPERTY_RUNS'] ?? usualScenarios);
  const path = process.env['PROPERTY_PATH'];
  const clusters = new ScenarioActivities();
  await server.withWorker(clusters.activities, async (client, taskQueue) => {
    const play = (example: Scenario): Promise<void> => new Play({ client, taskQueue, clusters }, example).play();
    const property = fc.asyncProperty(
      fc.array(scenario, { minLength: parallelScenarios, maxLength: parallelScenarios }),
      async (examples) => {
        const outcomes = await Promise.allSettled(examples.map(play));
        const failed = outcomes.flatMap((outcome, index) =>
          outcome.status === 'rejected' ? [`${JSON.stringify(examples[index])}\n${String(outcome.reason)}`] : []
        );
        if (failed.length > 0) throw new Error(failed.join('\n\n'));
      }
    );
    const numRuns = Math.ceil(scenarios / parallelScenarios);
    await fc.assert(property, { seed, numRuns, endOnFailure: true, ...(path !== undefined && { path }) });
  });
}

/** What all scenarios share: one worker costs less than one for each. */
interface Stage {
  client: Client;
  taskQueue: string;
  clusters: ScenarioActivities;
}

/** One scenario, with as many runs as it takes until the migration is done or rolled back. */
class Play {
  private readonly stage: Stage;
  private readonly example: Scenario;
  private readonly cluster: ScenarioCluster;
  private readonly workflowId = randomUUID();
  private runs = 0;

  constructor(stage: Stage, example: Scenario) {
    this.stage = stage;
    this.example = example;
    this.cluster = new ScenarioCluster(example);
    stage.clusters.add(this.workflowId, this.cluster.fake.activities);
  }

  async play(): Promise<void> {
    const run = this.stage.client.workflow.getHandle<typeof clusterMigration>(this.workflowId) as Run;
    await this.start();
    for (const { afterMs, event } of this.example.events) {
      await pause(afterMs);
      if (!(await this.isOpen(run))) {
        if (await this.hasEnded(run)) break;
        await this.start();
      }
      await this.apply(run, event);
    }
    this.cluster.repair();
    await this.finish(run);
  }

  private async start(): Promise<void> {
    const { client, taskQueue } = this.stage;
    if (++this.runs > maxRuns) throw new Error(`it has not ended after ${maxRuns} runs`);
    const { approval, cleanup, onFailure, drainMode, size, soakSeconds, historyLimit } = this.example;
    this.cluster.startRun();
    await client.workflow.start<typeof clusterMigration>('clusterMigration', {
      ...{ taskQueue, workflowId: this.workflowId },
      args: [
        {
          ...{ cluster: 'prod', approval, cleanup, onFailure },
          ...{ drain: { mode: drainMode }, waves: { maxConcurrency: size, soakSeconds } },
        },
      ],
      memo: historyLimit === null ? {} : { historyLimit },
    });
  }

  private async isOpen(run: Run): Promise<boolean> {
    return (await run.describe()).status.name === 'RUNNING';
  }

  /** Checks a run that is closed. @returns true when the migration has ended: nothing is left to do. */
  private async hasEnded(run: Run): Promise<boolean> {
    const execution = (await run.describe()).status.name;
    const status = await run.query(statusQuery).catch((error: unknown) => {
      // A run that was terminated before its first task has no state.
      if (execution !== 'TERMINATED') throw error;
      return undefined;
    });
    if (status !== undefined) this.cluster.checkRun(status, execution);
    return execution === 'COMPLETED';
  }

  private async apply(run: Run, event: Event): Promise<void> {
    switch (event.kind) {
      case 'message':
        return this.send(run, event.message, event.as);
      case 'outage':
        return this.cluster.startOutage(event.ms);
      case 'cancel':
        this.cluster.promises.giveUp();
        // A run that has ended meanwhile cannot be cancelled or terminated.
        await run.cancel().catch(() => undefined);
        return;
      case 'terminate':
        this.cluster.promises.giveUp();
        await run.terminate().catch(() => undefined);
    }
  }

  private async send(run: Run, message: Message, as: 'signal' | 'update'): Promise<void> {
    const { name, input } = message;
    const finished = this.cluster.sending(message);
    if (as === 'signal') {
      await run.signal(name, input).catch(() => undefined);
      return finished('unknown');
    }
    const outcome = await send(run, name, input).then(
      (answer): Outcome => (answer.startsWith('no: ') ? 'refused' : 'accepted'),
      (): Outcome => 'unknown'
    );
    finished(outcome);
  }

  /** Answers every wait, and starts each next run, like a human who wants the migration to end. */
  private async finish(run: Run): Promise<void> {
    const deadline = Date.now() + timeLimits.shortTest;
    for (let turns = 0; ; turns++) {
      if (!(await this.isOpen(run))) {
        if (await this.hasEnded(run)) return this.cluster.checkEnd(await run.query(statusQuery));
        await this.start();
      }
      const status = await run.query(statusQuery);
      if (Date.now() > deadline) throw new Error(`it does not end: ${JSON.stringify(status)}`);
      await this.answer(run, status, turns % 2 === 0 ? 'signal' : 'update');
      await pause(100);
    }
  }

  private async answer(run: Run, { waiting, nodes }: MigrationStatus, as: 'signal' | 'update'): Promise<void> {
    const waitsForEarlierRun = nodes.some(({ waitingFor }) => waitingFor?.includes('of an earlier run') === true);
    // A run that has ended meanwhile has no time to skip.
    if (waiting?.kind === 'soak' || waitsForEarlierRun) await skipTime(run, 3_600_000).catch(() => undefined);
    // A step that fails is repeated without an answer: its answers end the migration.
    if (waiting === undefined || waiting.kind === 'step') return;
    const [answer] = waiting.answers;
    if (answer !== undefined)
      await this.send(run, { name: answer.message as Message['name'], input: answer.input }, as);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
