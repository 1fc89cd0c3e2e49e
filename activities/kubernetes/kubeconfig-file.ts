import { stat } from 'node:fs/promises';
import type { AgentOptions } from 'node:https';
import { KubeConfig, type SecurityAuthentication } from '@kubernetes/client-node';
import type { ApplicationFailure } from '@temporalio/common';
import { failure } from '../support/failures.ts';

/** Creates the failure for credentials that cannot be used at the moment. */
export function unreadable(file: string, problem: string): ApplicationFailure {
  const advice = `check that ${file} is a complete kubeconfig that the worker can read`;
  return failure('CredentialsUnreadable', `${problem}; ${advice}`, { retryable: true });
}

/** Returns a text that changes when the file does. */
export async function readFileVersion(file: string): Promise<string> {
  try {
    const { mtimeMs, size } = await stat(file);
    return `${mtimeMs} ${size}`;
  } catch (error) {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    throw unreadable(file, `the worker cannot read its kubeconfig: ${code}`);
  }
}

/**
 * Loads a kubeconfig.
 * @throws CredentialsUnreadable, retryable, for an incomplete file.
 */
export async function loadKubeconfig(file: string): Promise<KubeConfig> {
  await readFileVersion(file);
  const config = new KubeConfig();
  try {
    config.loadFromFile(file);
  } catch {
    // The parser's message may quote the file, which contains keys.
    throw unreadable(file, "the worker's kubeconfig is not a valid kubeconfig file");
  }
  // The start of a file that is being written may be valid YAML.
  if (config.getContexts().length === 0 || config.getClusters().length === 0)
    throw unreadable(file, "the worker's kubeconfig has no contexts or no clusters");
  return config;
}

/** Loads the keys and certificates that the kubeconfig contains or names, or runs the program that it names. */
export async function loadTlsOptions(config: KubeConfig, file: string, cluster: string): Promise<AgentOptions> {
  const tls: AgentOptions = {};
  try {
    await config.applyToHTTPSOptions(tls);
  } catch (error) {
    throw unloadable(error, file, cluster);
  }
  return tls;
}

/** Creates the failure for credentials that cannot be loaded. The error's message may quote them. */
function unloadable(error: unknown, file: string, cluster: string): ApplicationFailure {
  const { code } = error as NodeJS.ErrnoException;
  const reason = code === undefined ? '' : `: ${code}`;
  return unreadable(file, `the credentials of the cluster "${cluster}" cannot be loaded${reason}`);
}

/**
 * Returns what adds the credentials to each request. Their program or file can fail at any request: that is no problem
 * of the connection, and its message may quote credentials.
 */
export function createAuthentication(config: KubeConfig, file: string, cluster: string): SecurityAuthentication {
  return {
    getName: () => 'kubeconfig',
    applySecurityAuthentication: (request) =>
      config.applySecurityAuthentication(request).catch((error: unknown) => {
        throw unloadable(error, file, cluster);
      }),
  };
}
