import { failure } from '../support/failures.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { helperNamespace as namespace } from '../kubernetes/names.ts';
import {
  oneShotPodName,
  removeOneShotPod,
  startOneShotPod,
  terminatedContainer,
  waitForOneShotPod,
  type OneShotPod,
} from '../helpers/one-shot-pod.ts';

/** Maximum duration of such a pod, in ms; the longest script clears thousands of rules. */
const podTimeoutMs = 300_000;

/** Maximum length of a log, in bytes. */
const maxLogBytes = 1_000_000;

/** Options of {@link runToEnd}. */
interface RunOptions {
  /** Return the pod's log instead of its termination message, which holds 4 KiB. @default false */
  log?: boolean;
}

/**
 * Runs one of our pods on its node until its container ends, and removes it. What it does is idempotent, so a pod that an
 * earlier attempt left is removed first.
 * @returns the lines of its report.
 * @throws NodeNotReady when the pod does not run in time.
 * @throws HelperPodFailed, retryable, when the kubelet rejects the pod, for example because the node has no room.
 * @throws CleanupIncomplete, retryable, when the container fails.
 */
export async function runToEnd(
  connection: ClusterConnection,
  pod: OneShotPod,
  { log = false }: RunOptions = {}
): Promise<string[]> {
  const { app, node } = pod;
  const name = oneShotPodName(pod);
  await startOneShotPod(connection, pod);
  const { exitCode, message = '' } = await waitForOneShotPod(
    connection,
    pod,
    (current) => {
      const terminated = terminatedContainer(current);
      return terminated === undefined
        ? { waitingFor: `${app} on ${node} (pod ${namespace}/${name})` }
        : { done: terminated };
    },
    { timeoutMs: podTimeoutMs, intervalMs: 500, onTimeout: 'NodeNotReady', advice: "check this pod's events" }
  );
  const text = log ? await connection.core.readNamespacedPodLog({ name, namespace, limitBytes: maxLogBytes }) : message;
  await removeOneShotPod(connection, name);
  const lines = text.split('\n').filter(Boolean);
  if (exitCode === 0) return lines;
  const problem = `${app} on ${node} ended with code ${exitCode}: ${lines.join('; ')}`;
  throw failure('CleanupIncomplete', `${problem}; remove the cause on the node, and the step succeeds`, {
    retryable: true,
  });
}
