import { Client, Connection } from '@temporalio/client';
import { dataConverter } from '../temporal/data-converter.ts';
import { loadConfiguredKeys } from '../temporal/keys.ts';
import { temporalConfig, type TemporalOptions, TemporalUnreachable } from '../temporal/connection-config.ts';

/** Connects a client to Temporal. Close it with `connection.close()`. */
export async function connect(env: NodeJS.ProcessEnv, options: TemporalOptions = {}): Promise<Client> {
  const { connectionOptions, namespace } = temporalConfig(env, options);
  const connection = await Connection.connect({ connectTimeout: '10s', ...connectionOptions }).catch(
    (error: unknown) => {
      throw new TemporalUnreachable(connectionOptions.address, error);
    }
  );
  return new Client({ connection, namespace, dataConverter: dataConverter(await loadConfiguredKeys(env)) });
}
