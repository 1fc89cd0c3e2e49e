import type { WorkerOptions } from '@temporalio/worker';
import type { WorkerDeploymentVersion } from '@temporalio/common';

/** Variables that make the worker a version of a Worker Deployment. */
const deploymentVariables = { name: 'TEMPORAL_DEPLOYMENT_NAME', build: 'TEMPORAL_WORKER_BUILD_ID' } as const;

/**
 * Default of the concurrent activities. Activities of this project wait for an API server or a program nearly all the
 * time, and a wait for a reboot or for a node may last for days. The SDK's default of 100 would let one wave of such
 * waits keep all other activities from starting.
 */
export const defaultMaxConcurrentActivities = 1_000;

/** Maximum number of poll requests for activities; more would only add idle requests. */
const maxActivityPolls = 20;

/**
 * Returns the version of the Worker Deployment that the environment names; undefined without one.
 * @throws Error when only one of the two variables is set, or when a value cannot be part of a version.
 */
export function parseDeployment(env: NodeJS.ProcessEnv): WorkerDeploymentVersion | undefined {
  const { name, build } = deploymentVariables;
  const deploymentName = env[name] ?? '';
  const buildId = env[build] ?? '';
  if (deploymentName === '' && buildId === '') return undefined;
  const missing = deploymentName === '' ? name : buildId === '' ? build : undefined;
  if (missing !== undefined) {
    throw new Error(`${missing} is not set; Worker Versioning needs both ${name} and ${build}, or neither`);
  }
  // The server separates the two with a dot or a colon.
  if (/[.:]/.test(deploymentName)) throw new Error(`${name} must not contain a dot or a colon: ${deploymentName}`);
  return { deploymentName, buildId };
}

/**
 * Parses the maximum number of activities that the worker executes at the same time.
 * @throws Error unless it is a positive integer.
 */
export function parseMaxConcurrentActivities(text: string | undefined): number {
  if (text === undefined) return defaultMaxConcurrentActivities;
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1)
    throw new Error(`CNI_MIGRATION_MAX_CONCURRENT_ACTIVITIES must be a positive integer, not ${text}`);
  return number;
}

/** Returns the options of Temporal's worker for this number of concurrent activities. */
export function slotOptions(maxConcurrentActivities: number): Partial<WorkerOptions> {
  return {
    maxConcurrentActivityTaskExecutions: maxConcurrentActivities,
    maxConcurrentActivityTaskPolls: Math.min(maxActivityPolls, maxConcurrentActivities),
  };
}

/**
 * Returns the options of Temporal's worker for a version of a Worker Deployment; none without a version. Workflows stay
 * on the version on which they started, until an operator moves them: a migration that was approved never changes its
 * code unexpectedly.
 */
export function versioningOptions(version: WorkerDeploymentVersion | undefined): Partial<WorkerOptions> {
  if (version === undefined) return {};
  return {
    workerDeploymentOptions: { useWorkerVersioning: true, version, defaultVersioningBehavior: 'PINNED' },
  };
}
