import { readFileSync } from 'node:fs';
import path from 'node:path';
import { agentImage } from '../cilium/agents.ts';
import { failure } from '../support/failures.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { helperNamespace as namespace } from '../kubernetes/names.ts';
import { applyNamespace } from '../helpers/namespace.ts';
import {
  oneShotPodName,
  removeOneShotPod,
  startOneShotPod,
  terminatedContainer,
  waitForOneShotPod,
  type OneShotPod,
} from '../helpers/one-shot-pod.ts';

/** Scripts in this folder; each is self-contained. */
export type HostScript = 'restore-source-cni' | 'clean-canal' | 'clean-cilium' | 'diagnose';

/** Scripts whose output is the pod's log. For other scripts it is the pod's termination message, which holds 4 KiB. */
const scriptsWithLog: readonly HostScript[] = ['diagnose'];
const maxLogBytes = 1_000_000;

/** Maximum duration of a script, in ms; the longest one clears thousands of rules. */
const scriptTimeoutMs = 300_000;

/**
 * Runs one of our scripts on a node, in a privileged pod on its network with the node's root at /host. The scripts are
 * idempotent, so a pod that an earlier attempt left is removed first.
 * @returns the lines of the script's report; undefined when no image for it is on the nodes, because Cilium was never
 * there.
 * @throws NodeNotReady when the pod does not run in time.
 * @throws HelperPodFailed, retryable, when the kubelet rejects the pod, for example because the node has no room.
 * @throws CleanupIncomplete when the script fails.
 */
export async function runOnHost(
  connection: ClusterConnection,
  node: string,
  script: HostScript
): Promise<string[] | undefined> {
  const image = await agentImage(connection);
  if (image === undefined) return undefined;
  await applyNamespace(connection, image);
  const pod = hostPod(node, image, script);
  const name = oneShotPodName(pod);
  await startOneShotPod(connection, pod);
  const { exitCode, message = '' } = await waitForOneShotPod(
    connection,
    pod,
    (current) => {
      const terminated = terminatedContainer(current);
      return terminated === undefined
        ? { waitingFor: `${script} on ${node} (pod ${namespace}/${name})` }
        : { done: terminated };
    },
    { timeoutMs: scriptTimeoutMs, intervalMs: 500, onTimeout: 'NodeNotReady', advice: "check this pod's events" }
  );
  const text = scriptsWithLog.includes(script)
    ? await connection.core.readNamespacedPodLog({ name, namespace, limitBytes: maxLogBytes })
    : message;
  await removeOneShotPod(connection, name);
  const lines = text.split('\n').filter(Boolean);
  if (exitCode === 0) return lines;
  throw failure('CleanupIncomplete', `${script} on ${node} ended with code ${exitCode}: ${lines.join('; ')}`, {
    retryable: true,
  });
}

function hostPod(node: string, image: string, script: HostScript): OneShotPod {
  const source = readFileSync(path.join(import.meta.dirname, `${script}.sh`), 'utf8');
  return {
    app: script,
    node,
    container: {
      name: 'script',
      image,
      command: ['bash', '-c', source],
      securityContext: { privileged: true },
      terminationMessagePolicy: 'FallbackToLogsOnError',
      volumeMounts: [
        { name: 'host', mountPath: '/host', mountPropagation: 'HostToContainer' },
        { name: 'xtables-lock', mountPath: '/run/xtables.lock' },
        { name: 'bpf', mountPath: '/sys/fs/bpf', mountPropagation: 'HostToContainer' },
      ],
    },
    spec: {
      hostNetwork: true,
      volumes: [
        { name: 'host', hostPath: { path: '/' } },
        { name: 'xtables-lock', hostPath: { path: '/run/xtables.lock', type: 'FileOrCreate' } },
        { name: 'bpf', hostPath: { path: '/sys/fs/bpf' } },
      ],
    },
  };
}
