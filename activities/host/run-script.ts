import { readFileSync } from 'node:fs';
import path from 'node:path';
import { readHostFolders, type HostFolders } from '../canal/host-folders.ts';
import { agentImage } from '../cilium/agents.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { failure } from '../support/failures.ts';
import { limitedMemory } from '../helpers/container-security.ts';
import { applyNamespace } from '../helpers/namespace.ts';
import type { OneShotPod } from '../helpers/one-shot-pod.ts';
import { runToEnd } from './run-to-end.ts';

/** Scripts in this folder. Those that change the node use the functions of functions.sh. */
export const hostScripts = ['restore-source-cni', 'clean-canal', 'clean-cilium', 'diagnose'] as const;

/** One of {@link hostScripts}. */
export type HostScript = (typeof hostScripts)[number];

/** Scripts whose output is the pod's log. For other scripts it is the pod's termination message, which holds 4 KiB. */
const scriptsWithLog: readonly HostScript[] = ['diagnose'];

/** Scripts that only read, and use no functions. The node's files are mounted read-only for them. */
const readingScripts: readonly HostScript[] = ['diagnose'];

/**
 * Runs one of our scripts on a node, in a privileged pod on its network with the node's root at /host. The scripts are
 * idempotent, so a pod that an earlier attempt left is removed first.
 * @returns the lines of the script's report; undefined when no image for it is on the nodes, because Cilium was never
 * there.
 * @throws InvalidInput when there is no such script.
 * @throws NodeNotReady when the pod does not run in time.
 * @throws HelperPodFailed, retryable, when the kubelet rejects the pod, for example because the node has no room.
 * @throws CleanupIncomplete when the script fails, or when it refuses to run because a pod would lose its network; the
 * message then names the links, with the addresses of the pods behind them.
 */
export async function runOnHost(
  connection: ClusterConnection,
  node: string,
  script: HostScript
): Promise<string[] | undefined> {
  requireHostScript(script);
  const image = await agentImage(connection);
  if (image === undefined) return undefined;
  await applyNamespace(connection, image);
  const pod = hostPod(node, image, script, await readHostFolders(connection));
  return runToEnd(connection, pod, { log: scriptsWithLog.includes(script) });
}

/** @throws InvalidInput unless one of our scripts has the name, which comes from an input and is part of a path. */
function requireHostScript(script: string): void {
  if (!(hostScripts as readonly string[]).includes(script))
    throw failure(
      'InvalidInput',
      `there is no script ${JSON.stringify(script)} for nodes; use one of ${hostScripts.join(', ')}`
    );
}

/**
 * Returns the text that runs on a node.
 * @throws InvalidInput when there is no such script.
 */
export function readHostScript(script: HostScript): string {
  requireHostScript(script);
  const files = readingScripts.includes(script) ? [script] : ['functions', script];
  return files.map((file) => readFileSync(path.join(import.meta.dirname, `${file}.sh`), 'utf8')).join('\n');
}

/** Returns the variables that give a script the folders of the node. */
export function hostScriptVariables({ config, plugins, addresses }: HostFolders): Record<string, string> {
  return { CNI_CONFIG: config, CNI_PLUGINS: plugins, CNI_ADDRESSES: addresses ?? '' };
}

/** Describes the pod that runs a script on a node. */
export function hostPod(node: string, image: string, script: HostScript, folders: HostFolders): OneShotPod {
  return {
    app: script,
    node,
    container: {
      name: 'script',
      image,
      command: ['bash', '-c', readHostScript(script)],
      env: Object.entries(hostScriptVariables(folders)).map(([name, value]) => ({ name, value })),
      securityContext: { privileged: true },
      resources: limitedMemory('1Gi'),
      terminationMessagePolicy: 'FallbackToLogsOnError',
      volumeMounts: [
        {
          ...{ name: 'host', mountPath: '/host', mountPropagation: 'HostToContainer' },
          ...(readingScripts.includes(script) && { readOnly: true }),
        },
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
