import { mkdir, stat, statfs } from 'node:fs/promises';
import { cacheDir } from '../paths.ts';
import { run, succeeds } from '../process.ts';

/** What to build with and run on: asked before anything starts, so that a build does not stop midway. */
interface Prerequisite {
  what: string;
  holds: () => Promise<boolean>;
  fix: string;
}

const gib = 1024 ** 3;

/** True when the command tells a version, the first thing like 1.2.3 in its output, that is the wanted one or newer. */
async function versionAtLeast(command: string, args: string[], wanted: readonly number[]): Promise<boolean> {
  const text = await run(command, args).catch(() => '');
  const found = (/\d+(\.\d+)*/.exec(text)?.[0] ?? '').split('.').map(Number);
  for (const [index, least] of wanted.entries()) {
    const part = found[index] ?? 0;
    if (part !== least) return part > least;
  }
  return true;
}

async function freeBytes(): Promise<number> {
  await mkdir(cacheDir, { recursive: true });
  const info = await statfs(cacheDir);
  return info.bavail * info.bsize;
}

/** What the machine needs to run a lab whose tools are built. */
const toRun: readonly Prerequisite[] = [
  {
    what: 'Linux on x86-64',
    holds: () => Promise.resolve(process.platform === 'linux' && process.arch === 'x64'),
    fix: 'run the lab on a Linux machine or virtual machine of that kind',
  },
  {
    what: 'root',
    holds: () => Promise.resolve(process.getuid?.() === 0),
    fix: 'run as root: the lab makes network, mount and process namespaces',
  },
  {
    what: 'kernel with BTF (/sys/kernel/btf/vmlinux)',
    holds: () => stat('/sys/kernel/btf/vmlinux').then(Boolean, () => false),
    fix: 'use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as every current distribution has',
  },
  {
    what: 'the commands ip, unshare, nsenter, openssl, tar and cp',
    holds: async () =>
      (
        await Promise.all(
          [
            ['ip', '-V'],
            ...['unshare', 'nsenter', 'tar', 'cp'].map((name) => [name, '--version']),
            ['openssl', 'version'],
          ].map(([name = '', arg = '']) => succeeds(name, [arg]))
        )
      ).every(Boolean),
    fix: 'apt-get install iproute2 util-linux openssl tar coreutils',
  },
];

/** What it needs beside that to build the tools. */
const toBuild: readonly Prerequisite[] = [
  {
    what: 'Go 1.26.8 or newer',
    holds: () => versionAtLeast('go', ['version'], [1, 26, 8]),
    fix: 'install it and put it on PATH',
  },
  {
    what: 'gcc (flannel is built with cgo)',
    holds: () => succeeds('gcc', ['--version']),
    fix: 'apt-get install gcc libc6-dev',
  },
  {
    what: 'Java 17 or newer',
    holds: () => versionAtLeast('java', ['--version'], [17]),
    fix: 'apt-get install openjdk-17-jre-headless',
  },
  { what: 'Maven', holds: () => succeeds('mvn', ['--version']), fix: 'apt-get install maven' },
  {
    what: 'apt-get (the lab takes debootstrap from it)',
    holds: () => succeeds('apt-get', ['--version']),
    fix: 'use Debian or a distribution derived from it',
  },
  {
    what: `12 GiB free in ${cacheDir}`,
    holds: async () => (await freeBytes()) > 12 * gib,
    fix: 'free some space, or point CNI_LAB_CACHE to a larger disk',
  },
];

/**
 * Checks the machine.
 * @throws Error that lists everything missing at once, each with its remedy.
 */
export async function checkPrerequisites({ building }: { building: boolean }): Promise<void> {
  const wanted = building ? [...toRun, ...toBuild] : toRun;
  const held = await Promise.all(wanted.map((one) => one.holds().catch(() => false)));
  const missing = wanted.filter((_, index) => held[index] !== true);
  if (missing.length === 0) return;
  const lines = missing.map((one) => `  - ${one.what}\n      ${one.fix}`);
  throw new Error(`this machine lacks what the lab needs:\n${lines.join('\n')}`);
}
