import { homedir } from 'node:os';
import path from 'node:path';
import { defaultTaskQueue } from '../workflows/messages.ts';

/** How a worker is set up. */
export interface WorkerConfig {
  /** Temporal's address. `TEMPORAL_ADDRESS`. @default localhost:7233 */
  address: string;
  /** Temporal's namespace. `TEMPORAL_NAMESPACE`. @default default */
  namespace: string;
  /** `CNI_MIGRATION_TASK_QUEUE`. @default cni-migration */
  taskQueue: string;
  /** File whose contexts are the clusters that can be migrated. `KUBECONFIG` (one file). @default ~/.kube/config */
  kubeconfig: string;
  /** Helm's binary. `HELM`. @default helm, from PATH */
  helm: string;
  /** Node that the worker runs on, where that is one of the cluster that it migrates. `NODE_NAME`. @default none */
  node: string | undefined;
}

/** Reads the worker's environment. @throws Error when a variable makes no sense. */
export function readWorkerConfig(env: NodeJS.ProcessEnv): WorkerConfig {
  const kubeconfig = env['KUBECONFIG'] ?? path.join(homedir(), '.kube', 'config');
  if (kubeconfig.includes(path.delimiter)) throw new Error('KUBECONFIG names several files; the worker takes one');
  return {
    address: env['TEMPORAL_ADDRESS'] ?? 'localhost:7233',
    namespace: env['TEMPORAL_NAMESPACE'] ?? 'default',
    taskQueue: env['CNI_MIGRATION_TASK_QUEUE'] ?? defaultTaskQueue,
    kubeconfig: path.resolve(kubeconfig),
    helm: env['HELM'] ?? 'helm',
    node: env['NODE_NAME'],
  };
}
