import { parseArgs } from 'node:util';
import { withoutControls } from '../model/printable.ts';
import { readWorkerConfig } from './config.ts';
import { runWorker } from './run.ts';
import { installTelemetry } from './telemetry.ts';

/** Runs the worker as a program: `npm run worker`. With --check it only runs the startup checks. */
async function main(): Promise<void> {
  const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
  const config = await readWorkerConfig(process.env);
  installTelemetry(config);
  await runWorker(config, { checkOnly: values.check });
  if (values.check) console.error('startup check passed: no fatal problem found');
}

main()
  .catch((error: unknown) => {
    console.error(withoutControls(error instanceof Error ? error.message : String(error)));
    process.exitCode = 1;
  })
  // Checks of clusters that do not answer take long, and must not delay the exit.
  .finally(() => process.exit());
