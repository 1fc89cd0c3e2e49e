import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import { withoutControls } from '../model/printable.ts';
import { loadConfiguredKeys } from '../temporal/keys.ts';
import { replayHistory, replayOptions } from './replay.ts';

/**
 * Replays histories against this build: `npm run replay -- FILE…`. `-` is the standard input. Exits with code 0 only if
 * this build can continue the workflow of each.
 */
async function main(files: readonly string[]): Promise<number> {
  if (files.length === 0) {
    console.error(
      'usage: npm run replay -- FILE…   with the output of: temporal workflow show --workflow-id ID -o json'
    );
    return 2;
  }
  // Each problem is reported once, below.
  Runtime.install({ logger: new DefaultLogger('ERROR'), telemetryOptions: { logging: { filter: 'ERROR' } } });
  const options = await replayOptions(await loadConfiguredKeys(process.env), process.env['CNI_MIGRATION_BUNDLES']);
  let failed = 0;
  for (const file of files) {
    const problem = await replayFile(file, options).then(
      () => undefined,
      (error: unknown) => (error instanceof Error ? error.message : String(error))
    );
    if (problem !== undefined) failed++;
    console.log(withoutControls(`${file}: ${problem === undefined ? 'compatible' : `NOT COMPATIBLE: ${problem}`}`));
  }
  return failed === 0 ? 0 : 1;
}

async function replayFile(file: string, options: Awaited<ReturnType<typeof replayOptions>>): Promise<void> {
  await replayHistory(file === '-' ? await text(process.stdin) : await readFile(file, 'utf8'), options);
}

main(process.argv.slice(2))
  .then((code) => (process.exitCode = code))
  .catch((error: unknown) => {
    console.error(withoutControls(error instanceof Error ? error.message : String(error)));
    process.exitCode = 1;
  })
  .finally(() => process.exit());
