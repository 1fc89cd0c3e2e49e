import { type ClientConnectConfig, loadClientConnectConfig } from '@temporalio/envconfig';
import { allowVariable, parseAllowances } from '../model/allowances.ts';
import { requireSafeConnection } from './safe-connection.ts';

/** Command-line options for the connection to Temporal; each takes precedence over the environment. */
export interface TemporalOptions {
  address?: string | undefined;
  namespace?: string | undefined;
  profile?: string | undefined;
}

/** Error for a Temporal server that does not answer. */
export class TemporalUnreachable extends Error {
  override name = 'TemporalUnreachable';

  constructor(address = 'localhost:7233', cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(`cannot reach Temporal at ${address}: ${reason}; check the address and that the server is running`, {
      cause,
    });
  }
}

/**
 * Reads the configuration of the connection to Temporal: from the same variables (`TEMPORAL_ADDRESS`,
 * `TEMPORAL_PROFILE`, `TEMPORAL_TLS_…`) and the same file as the Temporal CLI.
 * @throws Error when these are not valid, or when the connection is unsafe and not allowed by name.
 */
export function temporalConfig(
  env: NodeJS.ProcessEnv,
  { address, namespace, profile }: TemporalOptions = {}
): ClientConnectConfig & { namespace: string } {
  const merged = {
    ...env,
    ...(address !== undefined && { TEMPORAL_ADDRESS: address }),
    ...(namespace !== undefined && { TEMPORAL_NAMESPACE: namespace }),
  };
  const environment = Object.fromEntries(
    Object.entries(merged).filter((entry): entry is [string, string] => !!entry[1])
  );
  const config = load(environment, profile);
  requireSafeConnection(config.connectionOptions, parseAllowances(environment[allowVariable]));
  return { ...config, namespace: config.namespace ?? 'default' };
}

function load(environment: Record<string, string>, profile: string | undefined): ClientConnectConfig {
  try {
    return loadClientConnectConfig({ overrideEnvVars: environment, ...(profile !== undefined && { profile }) });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`invalid configuration of the connection to Temporal: ${reason}`, { cause: error });
  }
}
