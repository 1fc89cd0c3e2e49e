import { readFileSync } from 'node:fs';
import path from 'node:path';
import { agentImage } from '../cilium/agents.ts';
import { failure } from '../support/failures.ts';
import { applyObject } from '../kubernetes/apply.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import { helperNamespace as namespace, ownedLabels } from '../kubernetes/names.ts';
import { poll } from '../support/poll.ts';
import { applyNamespace } from '../helpers/namespace.ts';
import { removeOwnPod } from '../helpers/one-shot-pod.ts';

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
 * @throws NodeNotReady when the pod does not run.
 * @throws CleanupIncomplete when the script fails.
 */
export async function runOnHost(
  connection: ClusterConnection,
  node: string,
  script: HostScript
): Promise<string[] | undefined> {
  const { core } = connection;
  const image = await agentImage(connection);
  if (image === undefined) return undefined;
  await applyNamespace(connection, image);
  const name = `${script}-${node}`.slice(0, 253);
  const read = () => ifFound(core.readNamespacedPod({ name, namespace }));
  await removeOwnPod(connection, name);
  await applyObject(connection, hostPod(name, node, image, script));
  const { exitCode, message } = await poll(
    async () => {
      const terminated = (await read())?.status?.containerStatuses?.[0]?.state?.terminated;
      return terminated === undefined
        ? { waitingFor: `${script} on ${node} (pod ${namespace}/${name})` }
        : { done: { exitCode: terminated.exitCode, message: terminated.message ?? '' } };
    },
    { timeoutMs: scriptTimeoutMs, intervalMs: 500, onTimeout: 'NodeNotReady', advice: "look at this pod's events" }
  );
  const text = scriptsWithLog.includes(script)
    ? await core.readNamespacedPodLog({ name, namespace, limitBytes: maxLogBytes })
    : message;
  await removeOwnPod(connection, name);
  const lines = text.split('\n').filter(Boolean);
  if (exitCode === 0) return lines;
  throw failure('CleanupIncomplete', `${script} on ${node} ended with code ${exitCode}: ${lines.join('; ')}`, {
    retryable: true,
  });
}

function hostPod(name: string, node: string, image: string, script: HostScript) {
  const source = readFileSync(path.join(import.meta.dirname, `${script}.sh`), 'utf8');
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels: { app: script, ...ownedLabels } },
    spec: {
      // Bypasses the scheduler: the node may be cordoned, and may have no pod network.
      nodeName: node,
      hostNetwork: true,
      restartPolicy: 'Never',
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 1,
      priorityClassName: 'system-node-critical',
      tolerations: [{ operator: 'Exists' }],
      containers: [
        {
          name: 'script',
          image,
          imagePullPolicy: 'IfNotPresent',
          command: ['bash', '-c', source],
          securityContext: { privileged: true },
          terminationMessagePolicy: 'FallbackToLogsOnError',
          volumeMounts: [
            { name: 'host', mountPath: '/host', mountPropagation: 'HostToContainer' },
            { name: 'xtables-lock', mountPath: '/run/xtables.lock' },
            { name: 'bpf', mountPath: '/sys/fs/bpf', mountPropagation: 'HostToContainer' },
          ],
        },
      ],
      volumes: [
        { name: 'host', hostPath: { path: '/' } },
        { name: 'xtables-lock', hostPath: { path: '/run/xtables.lock', type: 'FileOrCreate' } },
        { name: 'bpf', hostPath: { path: '/sys/fs/bpf' } },
      ],
    },
  };
}
