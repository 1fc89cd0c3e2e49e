import { DefaultLogger, Runtime } from '@temporalio/worker';
import { readWorkerConfig } from './config.ts';
import { runWorker } from './run.ts';

async function main(): Promise<void> {
  Runtime.install({ logger: new DefaultLogger('INFO') });
  await runWorker(readWorkerConfig(process.env));
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
