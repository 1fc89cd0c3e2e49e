import { stat } from 'node:fs/promises';
import { run } from '../process.ts';
import type { Artefact } from './artefact.ts';
import { findMissingCommands, installPackages, findPackages, type Commands } from './commands.ts';
import { findShortages, type SpaceNeed } from './disk-space.ts';
import { goEnv, minimumGo } from './go-build.ts';

/** Requirement of the machine: checked before anything starts, so that no work stops midway. */
interface Prerequisite {
  what: string;
  holds: () => Promise<boolean>;
  fix: string;
}

/** Requirements for running a lab whose tools exist. */
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
];

/** Commands that labs call. A usual Debian has all of them; a minimal one does not. */
const commandsToRun: Commands = {
  bash: 'bash',
  cp: 'coreutils',
  find: 'findutils',
  findmnt: 'util-linux',
  ip: 'iproute2',
  mount: 'mount',
  nsenter: 'util-linux',
  openssl: 'openssl',
  tar: 'tar',
  unshare: 'util-linux',
};

const commandsToBuild: Readonly<Record<NonNullable<Artefact['buildsWith']>, Commands>> = {
  debootstrap: { chroot: 'coreutils', debootstrap: 'debootstrap' },
  go: {},
};

const minimumGoText = minimumGo.join('.');

/** Go has no Debian package here: those of most distributions are too old. */
const goPrerequisite: Prerequisite = {
  what: `Go ${minimumGoText} or newer`,
  holds: async () => isAtLeast(await run('go', ['version'], { env: { ...goEnv, GOTOOLCHAIN: 'local' } }), minimumGo),
  fix: 'install it (https://go.dev/dl) and put it on PATH, or take the tools from a bundle (CNI_LAB_PREBUILT, docs/lab.md)',
};

/** Work that is planned on the machine. */
export interface PlannedWork {
  /** Artefacts that will be built. */
  building: readonly Artefact[];
  /** Disk space that all of the work requires. */
  space: readonly SpaceNeed[];
}

/**
 * Checks the machine, and installs the missing small commands with apt-get.
 * @param log receives one line about what is installed.
 * @throws Error that lists everything missing at once, each with its remedy.
 */
export async function checkPrerequisites({ building, space }: PlannedWork, log: (line: string) => void): Promise<void> {
  const needed = new Set(building.flatMap(({ buildsWith }) => buildsWith ?? []));
  const prerequisites = [...toRun, ...(needed.has('go') ? [goPrerequisite] : [])];
  const held = await Promise.all(prerequisites.map((prerequisite) => prerequisite.holds().catch(() => false)));
  const missing = prerequisites.filter((_, index) => held[index] !== true).map(({ what, fix }) => ({ what, fix }));
  for (const { folders, neededBytes, freeBytes } of await findShortages(space)) {
    missing.push({
      what: `${formatGigabytes(neededBytes)} free for ${folders.join(', ')}; there are ${formatGigabytes(freeBytes)}`,
      fix: 'free some space, or point CNI_LAB_CACHE, GOMODCACHE or TMPDIR to another disk',
    });
  }
  const commands = [commandsToRun, ...[...needed].map((tool) => commandsToBuild[tool])].reduce((all, some) => ({
    ...all,
    ...some,
  }));
  const missingCommands = await findMissingCommands(commands);
  const packages = findPackages(commands, missingCommands);
  const canInstall = (await findMissingCommands({ 'apt-get': 'apt' })).length === 0;
  if (missingCommands.length > 0 && !canInstall) {
    missing.push({
      what: `the ${missingCommands.length === 1 ? 'command' : 'commands'} ${missingCommands.join(', ')}`,
      fix: `install what Debian has in ${packages.join(', ')}; with apt-get the lab would do it itself`,
    });
  }
  if (missing.length > 0) {
    const lines = missing.map(({ what, fix }) => `  - ${what}\n      ${fix}`);
    throw new Error(`this machine lacks what the lab needs:\n${lines.join('\n')}`);
  }
  if (missingCommands.length === 0) return;
  log(`installing ${packages.join(', ')} with apt-get, for ${missingCommands.join(', ')}`);
  await installPackages(packages);
}

function formatGigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}

/** True when the first version in a text, such as 1.2.3, is at least the given one. */
function isAtLeast(text: string, minimum: readonly number[]): boolean {
  const version = (/\d+(\.\d+)*/.exec(text)?.[0] ?? '').split('.').map(Number);
  for (const [index, least] of minimum.entries()) {
    const part = version[index] ?? 0;
    if (part !== least) return part > least;
  }
  return true;
}
