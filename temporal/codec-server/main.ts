import { readFile } from 'node:fs/promises';
import { parseListenAddress } from '../listen-address.ts';
import { loadConfiguredKeys } from '../keys.ts';
import { createCodecServer } from './server.ts';

/** Runs the codec server as a program: `npm run codec-server`. */
async function main(): Promise<void> {
  const { env } = process;
  const keys = await loadConfiguredKeys(env);
  if (keys === undefined) throw new Error('set CNI_MIGRATION_KEYS to the path of the key file');
  const tokenFile = env['CNI_MIGRATION_CODEC_TOKEN_FILE'];
  const { host, port } = parseListenAddress(env, 'CNI_MIGRATION_CODEC_ADDRESS') ?? { host: '127.0.0.1', port: 8091 };
  const server = createCodecServer({
    keys,
    origins: (env['CNI_MIGRATION_CODEC_ORIGINS'] ?? '').split(',').filter(Boolean),
    token: tokenFile === undefined ? undefined : (await readFile(tokenFile, 'utf8')).trim(),
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  console.error(`the codec server is listening on http://${host}:${port}`);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => server.close());
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
