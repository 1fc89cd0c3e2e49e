import { Client } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { createActivities, type Activities } from '../activities/index.ts';
import { kubeconfigClusters } from '../activities/kubernetes/connection.ts';
import type { WorkerConfig } from './config.ts';
import { openRuns } from './open-runs.ts';
import { payloadConverterPath, workflowsPath } from './bundle-paths.ts';

/**
 * Runs a worker until it is told to end (SIGINT, SIGTERM).
 * @param wrap changes the activities, as a test does that has the process die in their middle. @default unchanged
 */
export async function runWorker(
  config: WorkerConfig,
  wrap: (activities: Activities) => Activities = (activities) => activities
): Promise<void> {
  const connection = await NativeConnection.connect({ address: config.address });
  try {
    const activities = createActivities({
      clusters: kubeconfigClusters(config.kubeconfig),
      helm: config.helm,
      isOpen: openRuns(new Client({ connection, namespace: config.namespace })),
      workerNode: config.node,
    });
    const worker = await Worker.create({
      connection,
      namespace: config.namespace,
      taskQueue: config.taskQueue,
      workflowsPath,
      dataConverter: { payloadConverterPath },
      activities: wrap(activities),
      // Activities are told to stop and have this long to do so in order; what they had done is found again.
      shutdownGraceTime: '10 seconds',
    });
    await worker.run();
  } finally {
    await connection.close();
  }
}
