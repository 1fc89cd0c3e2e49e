import { parseArgs } from 'node:util';
import { readWorkerConfig } from './config.ts';
import { runWorker } from './run.ts';
import { installTelemetry } from './telemetry.ts';

/** The worker as a program: `npm run worker`. With --check it only looks for what is missing. */
async function main(): Promise<void> {
  const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
  const config = await readWorkerConfig(process.env);
  installTelemetry(config);
  await runWorker(config, { checkOnly: values.check });
  if (values.check) console.error('nothing is missing without which no migration could run');
}

main()
  .catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  })
  // The look at clusters that do not answer takes its time, and must not hold up the end.
  .finally(() => process.exit());
