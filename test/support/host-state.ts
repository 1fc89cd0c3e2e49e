import { readFile, readdir } from 'node:fs/promises';
import { run } from '../../lab/process.ts';
import { labsDir } from '../../lab/paths.ts';

/** Settings of the whole host that Kubernetes, Cilium or Canal would like otherwise. */
const kernelSettings = [
  'kernel/panic',
  'kernel/panic_on_oops',
  'kernel/timer_migration',
  'kernel/unprivileged_bpf_disabled',
  'net/bridge/bridge-nf-call-iptables',
  'net/core/bpf_jit_enable',
  'net/ipv4/conf/all/forwarding',
  'net/ipv4/conf/all/rp_filter',
  'net/ipv4/ip_forward',
  'vm/overcommit_memory',
  'vm/panic_on_oom',
];

/** Everything on this machine that a lab could leave behind, as lists to compare. */
export async function hostState(): Promise<Record<string, string[]>> {
  const lines = async (command: string, ...args: string[]): Promise<string[]> =>
    (await run(command, args).catch(() => '')).split('\n').filter(Boolean).sort();
  const settings = kernelSettings.map(async (name) => {
    const value = await readFile(`/proc/sys/${name}`, 'utf8').catch(() => 'absent');
    return `${name}=${value.trim()}`;
  });
  return {
    processes: await labProcesses(),
    namespaces: await lines('ip', 'netns', 'list'),
    links: (await lines('ip', '-o', 'link')).map((line) => line.split(':')[1]?.trim() ?? ''),
    addresses: (await lines('ip', '-o', 'addr')).map((line) => line.replace(/^\d+: /, '').replace(/valid_lft.*/, '')),
    routes: await lines('ip', 'route', 'show', 'table', 'all'),
    rules: await lines('ip', 'rule'),
    mounts: (await readFile('/proc/self/mounts', 'utf8')).split('\n').sort(),
    controlGroups: await lines('find', '/sys/fs/cgroup', '-type', 'd', '-path', '*cni-lab*'),
    labs: (await readdir(labsDir).catch(() => [] as string[])).filter((name) => !name.startsWith('.')).sort(),
    rootFolders: [
      ...(await readdir('/')),
      ...(await readdir('/etc')),
      ...(await readdir('/var/lib')),
      ...(await readdir('/opt')),
    ].sort(),
    temporaryFiles: (await readdir('/tmp')).filter((name) => name.startsWith('cni-lab')),
    kernelSettings: await Promise.all(settings),
  };
}

/** Processes that only labs have, in whatever namespace. */
async function labProcesses(): Promise<string[]> {
  const names =
    /^(kube-.*|kubelet|etcd|containerd.*|cilium.*|calico.*|flanneld|coredns|supervise\.sh|temporal|main\.ts)$/;
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const command = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    const program = command.map((word) => word.split('/').at(-1) ?? '').find((word) => names.test(word));
    if (program !== undefined && command[0] !== 'grep') found.push(`${pid} ${program}`);
  }
  return found;
}
