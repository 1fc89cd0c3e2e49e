import { readFile } from 'node:fs/promises';
import { parseListenAddress } from '../listen-address.ts';
import { loadConfiguredKeys } from '../keys.ts';
import { allowVariable, parseAllowances } from '../../model/allowances.ts';
import { withoutControls } from '../../model/printable.ts';
import { createCodecServer } from './server.ts';

/** Runs the codec server as a program: `npm run codec-server`. */
async function main(): Promise<void> {
  const { env } = process;
  const keys = await loadConfiguredKeys(env);
  if (keys === undefined) throw new Error('set CNI_MIGRATION_KEYS to the path of the key file');
  const token = await readToken(env['CNI_MIGRATION_CODEC_TOKEN_FILE']);
  if (token === undefined && !parseAllowances(env[allowVariable]).includes('codec-without-token')) {
    throw new Error(
      'set CNI_MIGRATION_CODEC_TOKEN_FILE to the path of a file with a long random token: without one, everyone who ' +
        `reaches the codec server reads all payloads; or allow that with ${allowVariable}=codec-without-token`
    );
  }
  const { host, port } = parseListenAddress(env, 'CNI_MIGRATION_CODEC_ADDRESS') ?? { host: '127.0.0.1', port: 8091 };
  const server = createCodecServer({
    keys,
    origins: (env['CNI_MIGRATION_CODEC_ORIGINS'] ?? '').split(',').filter(Boolean),
    token,
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  console.error(`the codec server is listening on http://${host}:${port}`);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => server.close());
}

/** @throws Error for an empty file: every request without a token would have that token. */
async function readToken(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  const token = (await readFile(file, 'utf8')).trim();
  if (token === '') throw new Error(`the token file ${file} is empty`);
  return token;
}

main().catch((error: unknown) => {
  console.error(withoutControls(error instanceof Error ? error.message : String(error)));
  process.exitCode = 1;
});
