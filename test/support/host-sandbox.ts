import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { hostScriptVariables, readHostScript, type HostScript } from '../../activities/host/run-script.ts';
import type { HostFolders } from '../../activities/canal/host-folders.ts';
import { run } from '../../lab/process.ts';

const script = path.join(import.meta.dirname, 'host-sandbox.sh');

/** Folders of the sandbox's node. */
export const sandboxFolders: HostFolders = {
  config: '/etc/cni/net.d',
  plugins: '/opt/cni/bin',
  addresses: '/var/lib/cni/networks/k8s-pod-network',
};

/** Options of {@link runInHostSandbox}. */
interface SandboxOptions {
  /** Files of the node, by their path without a leading slash. @default none */
  files?: Readonly<Record<string, string>>;
  /** Folders that the scripts get. @default those of Calico's manifest */
  folders?: HostFolders;
  /** Layers of the root file system with whose programs the scripts run, uppermost first. @default this machine's */
  layers?: readonly string[];
}

/**
 * Runs commands in bash on a node of its own, with its network, processes and files, which ends with them. They may use the
 * functions of `host-sandbox.sh`, which run the scripts of `activities/host/`.
 * @returns the lines that they print.
 * @throws {Error} when a command fails.
 */
export async function runInHostSandbox(
  commands: string,
  { files = {}, folders = sandboxFolders, layers = [] }: SandboxOptions = {}
): Promise<string[]> {
  const folder = await mkdtemp(path.join(tmpdir(), 'host-sandbox-'));
  try {
    for (const [name, content] of Object.entries(files)) {
      const file = path.join(folder, 'host', name);
      await mkdir(path.dirname(file), { recursive: true });
      await writeFile(file, content);
    }
    for (const name of ['restore-source-cni', 'clean-canal', 'clean-cilium'] satisfies HostScript[])
      await writeFile(path.join(folder, `${name}.sh`), readHostScript(name));
    const namespaces = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
    // The scripts wait for processes that end; in a test, these do not.
    const settings = { ...hostScriptVariables(folders), POLL_SECONDS: '0.01', LAYERS: layers.join(':') };
    const env = { ...process.env, ...settings };
    const output = await run('unshare', [...namespaces, 'bash', script, folder], { input: commands, env });
    return output.split('\n').filter(Boolean);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
