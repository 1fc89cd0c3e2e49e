import { NativeConnection, Runtime, DefaultLogger, Worker } from '@temporalio/worker';
import { createActivities } from '../activities/index.ts';
import { kubeconfigClusters } from '../activities/kubernetes/connection.ts';
import { readWorkerConfig } from './config.ts';
import { payloadConverterPath, workflowsPath } from './bundle-paths.ts';

/** Runs a worker until it is told to end (SIGINT, SIGTERM). */
async function main(): Promise<void> {
  Runtime.install({ logger: new DefaultLogger('INFO') });
  const config = readWorkerConfig(process.env);
  const connection = await NativeConnection.connect({ address: config.address });
  try {
    const worker = await Worker.create({
      connection,
      namespace: config.namespace,
      taskQueue: config.taskQueue,
      workflowsPath,
      dataConverter: { payloadConverterPath },
      activities: createActivities({ clusters: kubeconfigClusters(config.kubeconfig), helm: config.helm }),
      // Activities are told to stop and have this long to do so in order; what they had done is found again.
      shutdownGraceTime: '10 seconds',
    });
    await worker.run();
  } finally {
    await connection.close();
  }
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
