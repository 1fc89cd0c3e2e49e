import { homedir } from 'node:os';
import path from 'node:path';
import type { WorkerDeploymentVersion } from '@temporalio/common';
import type { ClientConnectConfig } from '@temporalio/envconfig';
import { kubeconfigClusters } from '../activities/kubernetes/connection.ts';
import { defaultRequestsPerSecond } from '../activities/kubernetes/request-rate.ts';
import { allowVariable, kubeconfigAllowances, parseAllowances } from '../model/allowances.ts';
import { noPolicy } from '../model/cluster-policy.ts';
import { defaultTaskQueue } from '../workflows/messages.ts';
import { temporalConfig } from '../temporal/connection-config.ts';
import { loadConfiguredKeys, type EncryptionKeys } from '../temporal/keys.ts';
import { readSettingsFile, type WorkerSettings } from './settings-file.ts';
import { parseListenAddress, type ListenAddress } from '../temporal/listen-address.ts';
import { parseDeployment, parseMaxConcurrentActivities } from './worker-options.ts';

/** Configuration of a worker. */
export interface WorkerConfig extends WorkerSettings {
  /**
   * Connection to Temporal, from the same variables and the same file as the Temporal CLI.
   * @default localhost:7233
   */
  connection: ClientConnectConfig['connectionOptions'];
  /**
   * Namespace of Temporal. Set by `TEMPORAL_NAMESPACE` or the profile.
   * @default default
   */
  namespace: string;
  /**
   * Task queue. Set by `CNI_MIGRATION_TASK_QUEUE`.
   * @default cni-migration
   */
  taskQueue: string;
  /**
   * Version of the Worker Deployment that this worker is. Set by `TEMPORAL_DEPLOYMENT_NAME` and
   * `TEMPORAL_WORKER_BUILD_ID`.
   * @default none: Worker Versioning is off
   */
  deployment: WorkerDeploymentVersion | undefined;
  /**
   * Maximum number of activities that the worker executes at the same time. Set by
   * `CNI_MIGRATION_MAX_CONCURRENT_ACTIVITIES`.
   * @default 1000
   */
  maxConcurrentActivities: number;
  /**
   * Path of Helm's binary. Set by `HELM`.
   * @default helm, from PATH
   */
  helm: string;
  /**
   * Node on which the worker runs, when it is a node of the cluster to migrate. Set by `NODE_NAME`.
   * @default none
   */
  node: string | undefined;
  /**
   * Folder with prebuilt bundles (`npm run bundle`). Set by `CNI_MIGRATION_BUNDLES`.
   * @default none: the workflows are bundled at startup
   */
  bundles: string | undefined;
  /**
   * Encryption keys for payloads, from the file in `CNI_MIGRATION_KEYS`.
   * @default none: payloads are not encrypted
   */
  keys: EncryptionKeys | undefined;
  /**
   * Address of /livez and /readyz. Set by `CNI_MIGRATION_HEALTH_ADDRESS`.
   * @default none: no health server
   */
  health: ListenAddress | undefined;
  /**
   * Address of `/metrics` for Prometheus. Set by `CNI_MIGRATION_METRICS_ADDRESS`.
   * @default none: no metrics
   */
  metrics: ListenAddress | undefined;
  /**
   * Format of log lines. Set by `CNI_MIGRATION_LOG`.
   * @default json, or text on a terminal
   */
  log: 'json' | 'text';
  /**
   * Endpoint that receives traces (OTLP over HTTP). Set by `OTEL_EXPORTER_OTLP_ENDPOINT`.
   * @default none: no traces
   */
  traces: string | undefined;
}

/**
 * Reads the worker's configuration from the environment.
 * @throws Error when a variable is not valid.
 */
export async function readWorkerConfig(env: NodeJS.ProcessEnv): Promise<WorkerConfig> {
  const { connectionOptions, namespace } = temporalConfig(env);
  return {
    connection: connectionOptions,
    namespace,
    taskQueue: env['CNI_MIGRATION_TASK_QUEUE'] ?? defaultTaskQueue,
    deployment: parseDeployment(env),
    maxConcurrentActivities: parseMaxConcurrentActivities(env['CNI_MIGRATION_MAX_CONCURRENT_ACTIVITIES']),
    ...(await readSettings(env)),
    helm: env['HELM'] ?? 'helm',
    node: env['NODE_NAME'],
    bundles: env['CNI_MIGRATION_BUNDLES'],
    keys: await loadConfiguredKeys(env),
    health: parseListenAddress(env, 'CNI_MIGRATION_HEALTH_ADDRESS'),
    metrics: parseListenAddress(env, 'CNI_MIGRATION_METRICS_ADDRESS'),
    log: parseLogFormat(env['CNI_MIGRATION_LOG']),
    traces: env['OTEL_EXPORTER_OTLP_ENDPOINT'],
  };
}

async function readSettings(env: NodeJS.ProcessEnv): Promise<WorkerSettings> {
  const file = env['CNI_MIGRATION_CONFIG'];
  const allowed: readonly string[] = parseAllowances(env[allowVariable]);
  const options = {
    requestsPerSecond: parseRequestsPerSecond(env['CNI_MIGRATION_REQUESTS_PER_SECOND']),
    allow: kubeconfigAllowances.filter((name) => allowed.includes(name)),
  };
  if (file !== undefined) return readSettingsFile(file, options);
  const kubeconfig = env['KUBECONFIG'] ?? path.join(homedir(), '.kube', 'config');
  if (kubeconfig.includes(path.delimiter)) {
    throw new Error(
      'KUBECONFIG contains several paths; use one path, or list the clusters in the file named by CNI_MIGRATION_CONFIG'
    );
  }
  return { clusters: kubeconfigClusters(path.resolve(kubeconfig), options), charts: undefined, policyOf: noPolicy };
}

/**
 * Parses the maximum number of requests per second to each API server.
 * @throws Error unless it is a positive integer.
 */
function parseRequestsPerSecond(text: string | undefined): number {
  if (text === undefined) return defaultRequestsPerSecond;
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1)
    throw new Error(`CNI_MIGRATION_REQUESTS_PER_SECOND must be a positive integer, not ${text}`);
  return number;
}

function parseLogFormat(text: string | undefined): 'json' | 'text' {
  if (text === undefined) return process.stderr.isTTY ? 'text' : 'json';
  if (text !== 'json' && text !== 'text') throw new Error('CNI_MIGRATION_LOG must be json or text');
  return text;
}
