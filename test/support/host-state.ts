import { readFile, readdir } from 'node:fs/promises';
import { listLabs } from '../../lab/cluster/records.ts';
import { run } from '../../lab/process.ts';

/** Settings of the whole host that Kubernetes, Cilium or Canal would set to other values. */
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

/**
 * Returns everything on this machine that a lab could leave behind, as lists to compare. State of labs other than `own`
 * is left out: labs of another run may be created and removed meanwhile.
 */
export async function readHostState(ownLabs: readonly string[]): Promise<Record<string, string[]>> {
  const others = (await listLabs()).filter((lab) => !ownLabs.includes(lab.name));
  const otherLabMarks = others.flatMap(({ name, index }) => [
    `cni-lab-${name}-`,
    `/cni-lab/${name}`,
    `/labs/${name}/`,
    `10.99.${index}.`,
    `cni-lab${index}@`,
    `cni-lab${index} `,
  ]);
  const isRelevant = (line: string): boolean => !otherLabMarks.some((mark) => `${line} `.includes(mark));
  const lines = async (command: string, ...args: string[]): Promise<string[]> =>
    (await run(command, args).catch(() => '')).split('\n').filter(Boolean).filter(isRelevant).sort();
  const settings = kernelSettings.map(async (name) => {
    const value = await readFile(`/proc/sys/${name}`, 'utf8').catch(() => 'absent');
    return `${name}=${value.trim()}`;
  });
  const folders = await Promise.all(['/', '/etc', '/opt', '/var/lib'].map((folder) => readdir(folder)));
  return {
    processes: (await labProcesses(isRelevant)).sort(),
    namespaces: await lines('ip', 'netns', 'list'),
    links: (await lines('ip', '-o', 'link')).map((line) => line.split(':')[1]?.trim() ?? '').sort(),
    addresses: (await lines('ip', '-o', 'addr'))
      .map((line) => line.replace(/^\d+: /, '').replace(/valid_lft.*/, ''))
      .sort(),
    routes: await lines('ip', 'route', 'show', 'table', 'all'),
    rules: await lines('ip', 'rule'),
    mounts: (await readFile('/proc/self/mounts', 'utf8')).split('\n').filter(isRelevant).sort(),
    controlGroups: await lines('find', '/sys/fs/cgroup', '-type', 'd', '-path', '*/cni-lab/*/*'),
    labs: (await listLabs()).map((lab) => lab.name).filter((name) => ownLabs.includes(name)),
    folders: folders.flat().sort(),
    kernelSettings: await Promise.all(settings),
  };
}

/** Returns the processes that only labs have, in any namespace. */
async function labProcesses(isRelevant: (text: string) => boolean): Promise<string[]> {
  const names =
    /^(kube-.*|kubelet|etcd|containerd.*|cilium.*|calico.*|flanneld|coredns|supervise\.sh|temporal|main\.ts)$/;
  const processes: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const read = (file: string): Promise<string> => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');
    const command = await read('cmdline');
    const words = command.split('\0').map((word) => word.split('/').at(-1) ?? '');
    const program = words.find((word) => names.test(word));
    if (program === undefined) continue;
    // Processes of a machine are identified by their control group, those on the host by the lab's folder.
    const traces = [command, await read('environ'), await read('cgroup')].join('\n');
    // Tests of workflows start Temporal servers too, without a lab.
    const isOfLab = /\/labs\/|cni-lab/.test(traces);
    if (isOfLab && isRelevant(traces)) processes.push(`${pid} ${program}`);
  }
  return processes;
}
