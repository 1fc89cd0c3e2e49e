import { Client, Connection } from '@temporalio/client';
import { dataConverter } from '../temporal/data-converter.ts';
import { identityOption } from '../temporal/identity.ts';
import { loadConfiguredKeys } from '../temporal/keys.ts';
import { requestInterceptors } from './request-interceptors.ts';
import { temporalConfig, type TemporalOptions, TemporalUnreachable } from '../temporal/connection-config.ts';

/** Options of a connection. */
export interface ConnectOptions extends TemporalOptions {
  /**
   * Time limit in ms.
   * @default 10_000
   */
  timeoutMs?: number;
}

/**
 * Connects a client to Temporal, with the configuration of the Temporal CLI. Close it with `connection.close()`.
 * @throws TemporalUnreachable when the server does not answer in time.
 */
export async function connect(env: NodeJS.ProcessEnv, options: ConnectOptions = {}): Promise<Client> {
  const { timeoutMs = 10_000, ...temporalOptions } = options;
  const { connectionOptions, namespace } = temporalConfig(env, temporalOptions);
  const keys = await loadConfiguredKeys(env);
  const connection = Connection.lazy({
    ...connectionOptions,
    connectTimeout: timeoutMs,
    interceptors: [...requestInterceptors],
  });
  try {
    await connection.ensureConnected();
  } catch (error) {
    await connection.close();
    throw new TemporalUnreachable(connectionOptions.address, error);
  }
  return new Client({ connection, namespace, dataConverter: dataConverter(keys), ...identityOption(keys) });
}
