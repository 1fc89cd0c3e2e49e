import { randomUUID } from 'node:crypto';
import type { Client } from '@temporalio/client';
import { WorkflowCoverage } from '@temporalio/nyc-test-coverage';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { DefaultLogger, Runtime, Worker, bundleWorkflowCode, type WorkflowBundle } from '@temporalio/worker';
import type { FleetActivities } from '../../activities/cluster/migration-outcomes.ts';
import type { Activities } from '../../activities/index.ts';
import { payloadConverterPath } from '../../temporal/data-converter.ts';
import { bundleOptions, plain } from '../../worker/bundle.ts';
import { startDevServer, type DevServer } from './dev-server.ts';
import { readBundle, skippedTime } from './prepared-bundles.ts';
import { timeLimits } from './time-limits.ts';

/** Options of a {@link WorkflowServer}. */
export interface WorkflowServerOptions {
  /**
   * Tests skip time with `skipTime` of `time-skips.ts`.
   * @default false
   */
  skipsTime?: boolean;
  /**
   * File with the workflows.
   * @default those of the product
   */
  workflows?: string;
  /**
   * Module with more interceptors of the workflows.
   * @default none
   */
  interceptors?: string;
  /**
   * Returns the port of the Web UI.
   * @default no Web UI
   */
  uiPort?: () => Promise<string>;
  /**
   * Starts the server.
   * @default the dev server of the Temporal CLI
   */
  startServer?: () => Promise<DevServer>;
}

/** A real Temporal server, with a worker on it, for one test file. */
export class WorkflowServer {
  private readonly options: WorkflowServerOptions;
  private devServer: DevServer | undefined;
  private environment: TestWorkflowEnvironment | undefined;
  /** Address of the Web UI; empty without one. */
  webUi = '';
  private bundle: WorkflowBundle | undefined;
  /** A test that has not ended. */
  private current: Promise<void> | undefined;
  /** Measures only when Jest runs with --coverage. */
  private readonly coverage = new WorkflowCoverage();

  constructor(options: WorkflowServerOptions = {}) {
    this.options = options;
  }

  /** Starts the server. Call it in `beforeAll`. */
  async start(): Promise<void> {
    installRuntime();
    const uiPort = await this.options.uiPort?.();
    if (uiPort !== undefined) this.webUi = `http://127.0.0.1:${uiPort}`;
    const { startServer = () => startDevServer(uiPort) } = this.options;
    this.devServer = await startServer();
    this.environment = await TestWorkflowEnvironment.createFromExistingServer({ address: this.devServer.address });
    const { skipsTime = false, workflows, interceptors } = this.options;
    const { workflowInterceptorModules = [], workflowsPath, ...plainOptions } = bundleOptions(plain);
    const added = [...(skipsTime ? [skippedTime] : []), ...(interceptors === undefined ? [] : [interceptors])];
    const modules = [...workflowInterceptorModules, ...added];
    const paths = { workflowsPath: workflows ?? workflowsPath, workflowInterceptorModules: modules };
    const options = { ...plainOptions, ...paths, logger };
    const measured = this.coverage.augmentBundleOptions(options);
    const isPrepared = measured === options && workflows === undefined && interceptors === undefined;
    this.bundle = (isPrepared ? await readBundle(skipsTime) : undefined) ?? (await bundleWorkflowCode(measured));
  }

  /** Stops the server. Call it in `afterAll`. */
  async stop(): Promise<void> {
    await this.endLeftOver();
    this.coverage.mergeIntoGlobalCoverage();
    // The library leaves its own object there; Jest requires plain data.
    const measured = globalThis as { __coverage__?: unknown };
    if ('__coverage__' in measured) measured.__coverage__ = JSON.parse(JSON.stringify(measured.__coverage__));
    await this.environment?.teardown();
    this.environment = undefined;
    await this.devServer?.stop();
    this.devServer = undefined;
  }

  get env(): TestWorkflowEnvironment {
    if (this.environment === undefined) throw new Error('start() was not called');
    return this.environment;
  }

  /** Runs a test with a worker that has the given activities. */
  async withWorker(
    activities: Partial<Activities & FleetActivities>,
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
        // A heartbeat delivers the cancellation of an activity, and tests do not wait for it as long as clusters do.
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

  /** Ends the workflows of a test that exceeded its time limit, and with them the test. */
  private async endLeftOver(): Promise<void> {
    if (this.current === undefined) return;
    const ended = this.current.catch(() => undefined);
    const { client, namespace = 'default' } = this.env;
    const { executions } = await client.workflowService.listOpenWorkflowExecutions({ namespace });
    for (const { execution } of executions) {
      await client.workflow.getHandle(execution?.workflowId ?? '').terminate();
    }
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, timeLimits.serviceStop))]);
    this.current = undefined;
  }
}

const logger = new DefaultLogger('ERROR');
let installed = false;

/** Limits the SDK's core to error messages, once in a test file. */
function installRuntime(): void {
  if (!installed) Runtime.install({ logger, telemetryOptions: { logging: { filter: 'ERROR' } } });
  installed = true;
}

/** Returns the workflows as this test run has bundled them; outside a test run, bundles their current code. */
export async function plainBundle(): Promise<WorkflowBundle> {
  return (await readBundle(false)) ?? bundleWorkflowCode({ ...bundleOptions(plain), logger });
}
