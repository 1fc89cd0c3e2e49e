import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Client } from '@temporalio/client';
import { WorkflowCoverage } from '@temporalio/nyc-test-coverage';
import proto from '@temporalio/proto';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { DefaultLogger, Runtime, Worker, bundleWorkflowCode, type WorkflowBundle } from '@temporalio/worker';
import type { Activities } from '../../activities/index.ts';
import { loadCatalogue } from '../../lab/tools/catalogue.ts';
import { payloadConverterPath } from '../../temporal/data-converter.ts';
import { bundleFile, plain, workflowsPath } from '../../worker/bundle.ts';
import { searchAttributes } from '../../workflows/search-attributes.ts';

/** The API's number of that type. */
const keyword = proto.temporal.api.enums.v1.IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD;

/**
 * A Temporal server with a worker on it, for one test file. `real` is the server that people run; `time-skipping` is a
 * stand-in that skips time while nothing is to be done, for what takes days. The stand-in cannot cancel an activity that
 * has not begun, and sometimes sleeps on: what needs no time is tested on the real one.
 */
export class WorkflowServer {
  private readonly kind: 'real' | 'time-skipping';

  private readonly uiPort: (() => Promise<string>) | undefined;
  private environment: TestWorkflowEnvironment | undefined;
  /** Address of the Web UI; empty without one. */
  webUi = '';
  private bundle: WorkflowBundle | undefined;
  /** A test that has not come to its end. */
  private current: Promise<void> | undefined;
  /** Nothing is measured unless Jest runs with --coverage. */
  private readonly coverage = new WorkflowCoverage();

  /** @param uiPort where a real server's Web UI is to be. @default it has none */
  constructor(kind: 'real' | 'time-skipping', uiPort?: () => Promise<string>) {
    this.kind = kind;
    this.uiPort = uiPort;
  }

  /** To be called in `beforeAll`, or in `beforeEach` by tests that may leave a server in disorder. */
  async start(): Promise<void> {
    installRuntime();
    const { bin } = await loadCatalogue();
    const executable = (path: string) => ({ executable: { type: 'existing-path' as const, path } });
    const uiPort = await this.uiPort?.();
    const ui = uiPort === undefined ? {} : { ui: true, uiPort: Number(uiPort) };
    if (uiPort !== undefined) this.webUi = `http://127.0.0.1:${uiPort}`;
    this.environment =
      this.kind === 'real'
        ? await TestWorkflowEnvironment.createLocal({ server: { ...executable(bin('temporal')), ...ui } })
        : await patiently(() =>
            TestWorkflowEnvironment.createTimeSkipping({ server: executable(bin('temporal-test-server')) })
          );
    await this.environment.connection.operatorService.addSearchAttributes({
      namespace: this.environment.namespace ?? 'default',
      searchAttributes: Object.fromEntries(Object.values(searchAttributes).map(({ name }) => [name, keyword])),
    });
    const options = { workflowsPath, payloadConverterPath, logger };
    const measured = this.coverage.augmentBundleOptions(options);
    this.bundle = measured === options ? await plainBundle() : await bundleWorkflowCode(measured);
  }

  /** To be called after that. */
  async stop(): Promise<void> {
    await this.endLeftOver();
    this.coverage.mergeIntoGlobalCoverage();
    // It leaves an object of its own there; Jest wants plain data.
    const measured = globalThis as { __coverage__?: unknown };
    if ('__coverage__' in measured) measured.__coverage__ = JSON.parse(JSON.stringify(measured.__coverage__));
    await this.environment?.teardown();
    this.environment = undefined;
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
    const worker = await Worker.create(
      this.coverage.augmentWorkerOptionsWithBundle({
        connection: this.env.nativeConnection,
        taskQueue,
        workflowBundle: this.bundle,
        activities,
        dataConverter: { payloadConverterPath },
        // Activities hear of their cancellation with a heartbeat, and tests do not wait for it as long as clusters do.
        maxHeartbeatThrottleInterval: '100 ms',
      })
    );
    this.current = worker.runUntil(test(this.env.client, taskQueue));
    try {
      await this.current;
    } finally {
      this.current = undefined;
    }
  }

  /** Ends the workflows of a test that ran out of its time, and with them the test. */
  private async endLeftOver(): Promise<void> {
    if (this.current === undefined) return;
    const ended = this.current.catch(() => undefined);
    const { client, namespace = 'default' } = this.env;
    // The stand-in knows no other list.
    const { executions } = await client.workflowService.listOpenWorkflowExecutions({ namespace });
    for (const { execution } of executions) {
      await client.workflow.getHandle(execution?.workflowId ?? '').terminate();
    }
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 10_000))]);
    this.current = undefined;
  }
}

const logger = new DefaultLogger('ERROR');
let installed = false;

/** The Java server lacks some abilities of the real one, and the SDK warns of it for every worker. Once a test file. */
function installRuntime(): void {
  if (!installed) Runtime.install({ logger, telemetryOptions: { logging: { filter: 'ERROR' } } });
  installed = true;
}

/** The SDK gives a server 5 s to start, which are too few on a machine that starts others: it is asked a few times. */
async function patiently<T>(start: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start();
    } catch (error) {
      if (attempt === 5) throw error;
    }
  }
}

/** The workflows as this test run has bundled them; outside a test run, as they are now. */
export async function plainBundle(): Promise<WorkflowBundle> {
  const dir = process.env['CNI_MIGRATION_BUNDLES'];
  if (dir === undefined) {
    return bundleWorkflowCode({ workflowsPath, payloadConverterPath, logger });
  }
  return { code: await readFile(path.join(dir, bundleFile(plain)), 'utf8') };
}
