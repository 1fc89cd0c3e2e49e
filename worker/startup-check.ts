import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { isGrpcServiceError, type Client, type ServiceError } from '@temporalio/client';
import { ApplicationFailure, type WorkerDeploymentVersion } from '@temporalio/common';
import { missingPermissions } from '../activities/permissions.ts';
import { isThisMachine } from '../temporal/safe-connection.ts';
import { searchAttributes } from '../workflows/search-attributes.ts';
import type { WorkerConfig } from './config.ts';

/** A problem found at startup. */
export interface StartupProblem {
  /** `fatal`: no migration can run; `warning`: some can. */
  kind: 'fatal' | 'warning';
  /** Text with the problem and its remedy. */
  text: string;
}

/** gRPC status codes with separate handling. */
const notFound = 5;
const permissionDenied = 7;
const unimplemented = 12;

/**
 * Checks what a worker needs for any migration: Temporal's namespace with its search attributes, Helm, and the list of
 * clusters.
 */
export async function checkStartup(
  client: Client,
  { namespace, helm, clusters, deployment, connection, keys }: WorkerConfig
): Promise<StartupProblem[]> {
  const clusterProblems = clusters.names().then(
    (): StartupProblem[] => [],
    (error: unknown): StartupProblem[] => [{ kind: 'fatal', text: errorText(error) }]
  );
  const checks = [checkNamespace(client, namespace), checkHelm(helm), clusterProblems];
  if (deployment !== undefined) checks.push(checkCurrentVersion(client, namespace, deployment));
  return [...checkEncryption(connection, keys), ...(await Promise.all(checks)).flat()];
}

/** Warns of plain payloads on another machine: everyone with access to its database reads them. */
export function checkEncryption(
  { address = 'localhost' }: WorkerConfig['connection'],
  keys: WorkerConfig['keys']
): StartupProblem[] {
  if (keys !== undefined || isThisMachine(address)) return [];
  const text = `payloads are not encrypted: readers of Temporal's database at ${address} can read them; set CNI_MIGRATION_KEYS`;
  return [{ kind: 'warning', text }];
}

/**
 * Checks that this worker's version of its Worker Deployment is the current one: no other version gets new migrations.
 */
export async function checkCurrentVersion(
  client: Client,
  namespace: string,
  { deploymentName, buildId }: WorkerDeploymentVersion
): Promise<StartupProblem[]> {
  let current: string | undefined;
  try {
    const request = { namespace, deploymentName };
    const { workerDeploymentInfo } = await client.workflowService.describeWorkerDeployment(request);
    current = workerDeploymentInfo?.routingConfig?.currentDeploymentVersion?.buildId ?? undefined;
  } catch (error) {
    // The first worker of a deployment creates it.
    if (grpcCode(error) !== notFound) {
      return [{ kind: 'warning', text: `cannot check the Worker Deployment "${deploymentName}": ${errorText(error)}` }];
    }
  }
  if (current === buildId) return [];
  const others = current === undefined ? 'no version' : `version "${current}"`;
  const command =
    `temporal worker deployment set-current-version --namespace ${namespace} ` +
    `--deployment-name ${deploymentName} --build-id ${buildId}`;
  const text =
    `new migrations get ${others} of the Worker Deployment "${deploymentName}", not this worker's "${buildId}". ` +
    `When they should get this one, run: ${command}`;
  return [{ kind: 'warning', text }];
}

async function checkNamespace(client: Client, namespace: string): Promise<StartupProblem[]> {
  try {
    await client.workflowService.describeNamespace({ namespace });
  } catch (error) {
    if (grpcCode(error) === notFound) {
      const command = `temporal operator namespace create --namespace ${namespace} --retention 30d`;
      return [{ kind: 'fatal', text: `Temporal has no namespace "${namespace}". Create it with: ${command}` }];
    }
    if (grpcCode(error) !== permissionDenied) throw error;
    return [{ kind: 'warning', text: `cannot check whether the namespace "${namespace}" exists: ${errorText(error)}` }];
  }
  return checkSearchAttributes(client, namespace);
}

async function checkSearchAttributes(client: Client, namespace: string): Promise<StartupProblem[]> {
  const names = Object.values(searchAttributes).map(({ name }) => name);
  try {
    const { customAttributes } = await client.connection.operatorService.listSearchAttributes({ namespace });
    const missing = names.filter((name) => !(name in (customAttributes ?? {})));
    if (missing.length === 0) return [];
    const command =
      `temporal operator search-attribute create --namespace ${namespace} ` +
      missing.map((name) => `--name ${name} --type Keyword`).join(' ');
    const text = `the namespace "${namespace}" lacks search attributes: ${missing.join(', ')}. Create them with: ${command}`;
    return [{ kind: 'fatal', text }];
  } catch (error) {
    // Temporal Cloud has a different API for search attributes.
    if (![permissionDenied, unimplemented].includes(grpcCode(error) ?? -1)) throw error;
    const text =
      `cannot check whether the search attributes ${names.join(', ')} (Keyword) exist: ${errorText(error)}. ` +
      'On Temporal Cloud, create them in its Web UI or with tcld';
    return [{ kind: 'warning', text }];
  }
}

/**
 * Oldest accepted release of each major version of Helm. Helm before 3.17.3 unpacks a chart of any size into memory
 * (CVE-2025-32386); 4.1.4 fixes CVE-2026-35204, CVE-2026-35205 and CVE-2026-35206.
 */
const oldestHelm: Readonly<Record<number, readonly [number, number, number]>> = { 3: [3, 17, 3], 4: [4, 1, 4] };

/** Returns why this version of Helm is not accepted; undefined when it is. */
export function helmVersionProblem(text: string): string | undefined {
  const advice = 'install Helm 4.1.4 or newer, or Helm 3.17.3 or newer: older versions have known vulnerabilities';
  // A Helm that was built from its module reports two numbers only.
  const match = /^v?(\d+)\.(\d+)(?:\.(\d+))?(-)?/.exec(text);
  if (match === null) return `cannot read the version of Helm, "${text.slice(0, 80)}"; ${advice}`;
  const [major = 0, minor = 0, patch = 0] = match.slice(1, 4).map((number = '0') => Number(number));
  const oldest = oldestHelm[major];
  if (oldest === undefined) return major > 4 ? undefined : `Helm ${text} is too old; ${advice}`;
  const difference = minor - oldest[1] || patch - oldest[2];
  // A pre-release comes before the release of its number.
  return difference > 0 || (difference === 0 && match[4] === undefined)
    ? undefined
    : `Helm ${text} is too old; ${advice}`;
}

async function checkHelm(helm: string): Promise<StartupProblem[]> {
  try {
    const { stdout } = await promisify(execFile)(helm, ['version', '--template', '{{.Version}}'], { timeout: 20_000 });
    const problem = helmVersionProblem(stdout.trim());
    return problem === undefined ? [] : [{ kind: 'fatal', text: problem }];
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? 'it exited with an error';
    return [{ kind: 'fatal', text: `cannot run Helm as "${helm}" (${reason}); install it, or set HELM to its path` }];
  }
}

/**
 * Checks that each cluster can be reached and grants the worker its permissions. A cluster that fails the check does
 * not prevent migrations of the others; one that does not answer takes long to check.
 */
export async function checkClusterPermissions({ clusters }: WorkerConfig): Promise<StartupProblem[]> {
  const problems = await Promise.all(
    (await clusters.names()).map(async (name): Promise<StartupProblem[]> => {
      try {
        const { missing } = await missingPermissions(await clusters.connect(name));
        if (missing.length === 0) return [];
        const text = `cluster "${name}": the worker lacks permissions: ${missing.join(', ')}; apply deploy/rbac/worker.yaml`;
        return [{ kind: 'warning', text }];
      } catch (error) {
        return [{ kind: 'warning', text: `cluster "${name}": ${errorText(error)}` }];
      }
    })
  );
  return problems.flat();
}

function grpcCode(error: unknown): number | undefined {
  return isGrpcServiceError(error) ? (error as ServiceError & { code: number }).code : undefined;
}

/** Formats an error without any content that a response may quote. */
function errorText(error: unknown): string {
  if (error instanceof ApplicationFailure) return error.message;
  if (isGrpcServiceError(error)) return error.details;
  const { code, name } = (error ?? {}) as { code?: string | number; name?: string };
  return `unreachable (${code ?? name ?? 'unknown'})`;
}
