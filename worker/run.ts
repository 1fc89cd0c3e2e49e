import { Client } from '@temporalio/client';
import { access } from 'node:fs/promises';
import path from 'node:path';
import {
  NativeConnection,
  Runtime,
  Worker,
  bundleWorkflowCode,
  type ActivityInterceptorsFactory,
  type Logger,
  type WorkerOptions,
} from '@temporalio/worker';
import { readLockHolder, type IsOpen } from '../activities/cluster/lock.ts';
import { createFleetActivities } from '../activities/cluster/migration-outcomes.ts';
import { createActivities, type Activities } from '../activities/index.ts';
import { TemporalUnreachable } from '../temporal/connection-config.ts';
import { dataConverter } from '../temporal/data-converter.ts';
import { identityOption } from '../temporal/identity.ts';
import { computeNodeIdSecret } from '../temporal/keys.ts';
import { createAuthorityInterceptor } from './authority/interceptor.ts';
import { createRunReader } from './authority/runs.ts';
import { checkStartup, checkClusterPermissions, type StartupProblem } from './startup-check.ts';
import { bundleFile, bundleOptions, type BundleFeatures } from './bundle.ts';
import type { WorkerConfig } from './config.ts';
import { serveHealth } from './health.ts';
import { MigrationMetrics } from './metrics.ts';
import { createOutcomeReader } from './migration-outcome.ts';
import { createRunStatusCheck } from './run-status.ts';
import { createTracing } from './telemetry.ts';
import { slotOptions, versioningOptions } from './worker-options.ts';

/** Interval of the gauges' updates, in ms. */
const metricsIntervalMs = 60_000;

/** Maximum age of Temporal's last answer for the worker to be ready, in ms. */
const maxAnswerAgeMs = 5_000;

/** Options of {@link runWorker}. */
export interface RunOptions {
  /**
   * Wraps the activities, for tests that make the process crash during one.
   * @default no change
   */
  wrap?: (activities: Activities) => Activities;
  /**
   * Intervals of Temporal's worker, for tests with shorter waits than real clusters need.
   * @default those of the SDK
   */
  timing?: Pick<WorkerOptions, 'maxHeartbeatThrottleInterval' | 'stickyQueueScheduleToStartTimeout'>;
  /**
   * Runs the startup checks only.
   * @default false
   */
  checkOnly?: boolean;
}

/**
 * Runs a worker until SIGINT or SIGTERM. Then it accepts no new work, cancels its activities, and gives them a moment
 * for a graceful end.
 * @throws Error when the startup check finds a fatal problem.
 */
export async function runWorker(config: WorkerConfig, options: RunOptions = {}): Promise<void> {
  const { wrap, timing, checkOnly = false } = options;
  const { logger } = Runtime.instance();
  const connection = await NativeConnection.connect(config.connection).catch((error: unknown) => {
    throw new TemporalUnreachable(config.connection.address, error);
  });
  const tracing = config.traces === undefined ? undefined : createTracing();
  try {
    const features = { encrypted: config.keys !== undefined, traced: tracing !== undefined };
    const converter = dataConverter(config.keys);
    const identity = identityOption(config.keys);
    const client = new Client({ connection, namespace: config.namespace, dataConverter: converter, ...identity });
    await runStartupChecks(client, config, checkOnly, logger);
    if (checkOnly) return;
    const isOpen = createRunStatusCheck(client);
    const activities = createActivities({
      clusters: config.clusters,
      helm: { binary: config.helm, charts: config.charts },
      isOpen,
      workerNode: config.node,
      policyOf: config.policyOf,
      nodeIdSecret: config.keys && computeNodeIdSecret(config.keys),
    });
    const worker = await Worker.create({
      connection,
      namespace: config.namespace,
      taskQueue: config.taskQueue,
      ...identity,
      ...(await workflowCode(config, features)),
      dataConverter: converter,
      activities: { ...(wrap?.(activities) ?? activities), ...createFleetActivities(createOutcomeReader(client)) },
      interceptors: { activity: [createAuthority(config, client, isOpen)] },
      ...slotOptions(config.maxConcurrentActivities),
      ...versioningOptions(config.deployment),
      ...(tracing && { plugins: [tracing.plugin] }),
      // Time for a graceful end of cancelled activities. A retry detects what they had already done.
      shutdownGraceTime: '10 seconds',
      ...timing,
    });
    const stopServing = await serve(config, connection, worker);
    const stopMetrics = config.metrics === undefined ? undefined : startMetricsUpdates(client);
    try {
      await worker.run();
    } finally {
      await stopMetrics?.();
      stopServing();
    }
  } finally {
    await tracing?.stop().catch(() => {
      logger.warn('failed to flush traces');
    });
    await connection.close();
  }
}

/** Creates the interceptor that refuses activities which the worker's own migrations have not requested. */
function createAuthority({ clusters }: WorkerConfig, client: Client, isOpen: IsOpen): ActivityInterceptorsFactory {
  const readHolder = async (cluster: string): Promise<string> => readLockHolder(await clusters.connect(cluster));
  return createAuthorityInterceptor({ readRun: createRunReader(client), isOpen, readHolder });
}

/**
 * Runs the startup checks and logs their warnings.
 * @param logger the worker's logger: after the worker's end, `Runtime.instance()` would create another runtime, which
 * never lets the process exit.
 * @throws Error when the startup check finds a fatal problem.
 */
async function runStartupChecks(
  client: Client,
  config: WorkerConfig,
  checkOnly: boolean,
  logger: Logger
): Promise<void> {
  const warn = (problems: readonly StartupProblem[]): void => {
    for (const { kind, text } of problems) if (kind === 'warning') logger.warn(text);
  };
  const problems = await checkStartup(client, config);
  warn(problems);
  const fatal = problems.filter(({ kind }) => kind === 'fatal').map(({ text }) => text);
  if (fatal.length > 0) throw new Error(fatal.join('\n'));
  // The start of a worker does not wait for clusters that do not answer.
  const permissionChecks = checkClusterPermissions(config).then(warn);
  if (checkOnly) await permissionChecks;
  else permissionChecks.catch(() => undefined);
}

/**
 * Returns the prebuilt bundle where there is one; otherwise bundles the workflows, within some seconds.
 */
export async function workflowCode(
  { bundles }: Pick<WorkerConfig, 'bundles'>,
  features: BundleFeatures
): Promise<Partial<WorkerOptions>> {
  if (bundles === undefined) {
    const workflowBundle = await bundleWorkflowCode({ ...bundleOptions(features), logger: Runtime.instance().logger });
    return { workflowBundle };
  }
  const codePath = path.join(bundles, bundleFile(features));
  await access(codePath).catch((error: unknown) => {
    throw new Error(`there is no prebuilt bundle ${codePath}; create it with: npm run bundle -- ${bundles}`, {
      cause: error,
    });
  });
  return { workflowBundle: { codePath } };
}

/**
 * Starts the health server, if configured.
 * @returns a function that stops it.
 */
async function serve({ health }: WorkerConfig, connection: NativeConnection, worker: Worker): Promise<() => void> {
  if (health === undefined) return () => undefined;
  let answeredAt = 0;
  const server = await serveHealth(health, async () => {
    const state = worker.getState();
    if (state !== 'RUNNING') return `the worker is ${state.toLowerCase().replaceAll('_', ' ')}`;
    if (Date.now() - answeredAt < maxAnswerAgeMs) return undefined;
    try {
      await connection.withDeadline(Date.now() + 3_000, () => connection.workflowService.getSystemInfo({}));
    } catch {
      return 'Temporal does not respond';
    }
    answeredAt = Date.now();
    return undefined;
  });
  return () => {
    server.close();
    server.closeAllConnections();
  };
}

/**
 * Updates the gauges at a fixed interval. The first update comes at a random time within the first interval, so that
 * workers that start together do not query at the same time.
 * @returns a function that stops the updates, and waits for a running one.
 */
function startMetricsUpdates(client: Client): () => Promise<void> {
  const metrics = new MigrationMetrics(client, Runtime.instance().metricMeter);
  let lastUpdate: Promise<void> = Promise.resolve();
  let timer: NodeJS.Timeout;
  const update = (): void => {
    timer = setTimeout(update, metricsIntervalMs);
    lastUpdate = lastUpdate.then(() => metrics.update()).catch(() => undefined);
  };
  timer = setTimeout(update, Math.random() * metricsIntervalMs);
  return () => {
    clearTimeout(timer);
    return lastUpdate;
  };
}
