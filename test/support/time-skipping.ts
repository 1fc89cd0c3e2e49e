import { randomUUID } from 'node:crypto';
import type { Client } from '@temporalio/client';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { DefaultLogger, Runtime, Worker, bundleWorkflowCode, type WorkflowBundle } from '@temporalio/worker';
import type { Activities } from '../../activities/index.ts';
import { loadCatalogue } from '../../lab/tools/catalogue.ts';
import { payloadConverterPath, workflowsPath } from '../../worker/bundle-paths.ts';

/** A time-skipping server with a worker on it, for one test file. */
export class TimeSkipping {
  private environment: TestWorkflowEnvironment | undefined;
  private bundle: WorkflowBundle | undefined;

  /** To be called in `beforeAll`. */
  async start(): Promise<void> {
    const logger = new DefaultLogger('ERROR');
    // The Java server lacks some abilities of the real one, and the SDK warns of it for every worker.
    Runtime.install({ logger, telemetryOptions: { logging: { filter: 'ERROR' } } });
    const path = (await loadCatalogue()).bin('temporal-test-server');
    const server = { executable: { type: 'existing-path' as const, path } };
    this.environment = await TestWorkflowEnvironment.createTimeSkipping({ server });
    this.bundle = await bundleWorkflowCode({ workflowsPath, payloadConverterPath, logger });
  }

  /** To be called in `afterAll`. */
  async stop(): Promise<void> {
    await this.environment?.teardown();
  }

  get env(): TestWorkflowEnvironment {
    if (this.environment === undefined) throw new Error('start() was not called');
    return this.environment;
  }

  /** Runs a test with a worker that has the given activities. */
  async withWorker(
    activities: Partial<Activities>,
    test: (client: Client, taskQueue: string) => Promise<void>
  ): Promise<void> {
    if (this.bundle === undefined) throw new Error('start() was not called');
    const taskQueue = randomUUID();
    const worker = await Worker.create({
      connection: this.env.nativeConnection,
      taskQueue,
      workflowBundle: this.bundle,
      activities,
      dataConverter: { payloadConverterPath },
    });
    await worker.runUntil(test(this.env.client, taskQueue));
  }
}
