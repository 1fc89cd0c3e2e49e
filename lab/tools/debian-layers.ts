import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { computeKey } from '../paths.ts';
import { run } from '../process.ts';
import { artefactDir, type Artefact } from './artefact.ts';

const suite = 'bookworm';

/** Packages of every image and every machine of the lab: commands that CNI agents call, and tools that people use. */
const basePackages = [
  'bash',
  'ca-certificates',
  'conntrack',
  'iproute2',
  'ipset',
  'iptables',
  'iputils-ping',
  'kmod',
  'procps',
];

/** Packages of the lab's machines only. */
const machinePackages = ['curl', 'mount', 'runc', 'socat', 'tcpdump'];

/** Packages of Cilium's image only: the agent compiles its eBPF programs when it starts. */
const clangPackages = ['clang-19', 'ccache'];

const documentation = ['usr/share/doc', 'usr/share/man', 'usr/share/locale', 'var/cache/apt', 'var/lib/apt/lists'];

/** A minimal Debian in `rootfs/`. */
export const debianBase: Artefact = {
  name: 'debian-base',
  key: computeKey(suite, ...basePackages, ...documentation),
  needs: [],
  buildsWith: 'debootstrap',
  build: async (dir, reportStep) => {
    reportStep('debootstrap');
    const rootfs = path.join(dir, 'rootfs');
    const mirror = process.env['CNI_LAB_DEBIAN_MIRROR'];
    const target = [suite, rootfs, ...(mirror === undefined ? [] : [mirror])];
    await run('debootstrap', ['--variant=minbase', `--include=${basePackages.join(',')}`, ...target]);
    await removeDocumentation(rootfs);
  },
};

/** Additional packages of the lab's machines, in `rootfs/`, as an overlay layer. */
export const machineLayer = packageLayer('debian-machine', machinePackages);

/**
 * The command nft, in `rootfs/`, as an overlay layer: of nodes, whose kube-proxy may use it, and of Flannel's image.
 * Cilium's own image has none, and neither has the lab's.
 */
export const nftablesLayer = packageLayer('debian-nftables', ['nftables']);

/** Additional packages of Cilium's image, in `rootfs/`, as an overlay layer. */
export const clangLayer = packageLayer('debian-clang', clangPackages);

/** Temporal's database, for tests of programs outside a cluster. */
export const postgresqlLayer = packageLayer('debian-postgresql', ['postgresql-15']);

/** A browser and a font for it, for tests of user interfaces. */
export const chromiumLayer = packageLayer('debian-chromium', ['chromium', 'fonts-dejavu-core']);

function packageLayer(name: string, packages: readonly string[]): Artefact {
  return {
    name,
    key: computeKey(debianBase.key, ...packages),
    needs: [debianBase],
    buildsWith: 'debootstrap',
    build: async (dir, reportStep) => {
      reportStep(packages.join(', '));
      for (const folder of ['rootfs', 'work', 'merged']) await mkdir(path.join(dir, folder));
      const script = path.join(dir, 'install.sh');
      await writeFile(script, installScript);
      const base = path.join(artefactDir(debianBase), 'rootfs');
      // In its own mount namespace, so that no mount is left behind, even after a failure.
      await run('unshare', ['--mount', '--propagation', 'private', 'bash', script, base, dir, ...packages]);
      for (const folder of ['work', 'merged', 'install.sh']) await rm(path.join(dir, folder), { recursive: true });
      await removeDocumentation(path.join(dir, 'rootfs'));
    },
  };
}

const installScript = `set -eu
base=$1 dir=$2; shift 2
mount -t overlay overlay -o "lowerdir=$base,upperdir=$dir/rootfs,workdir=$dir/work" "$dir/merged"
cd "$dir/merged"
mount -t proc proc proc
mount --rbind /dev dev
cp --dereference /etc/resolv.conf etc/resolv.conf
# No service may start inside the image.
printf '#!/bin/sh\\nexit 101\\n' > usr/sbin/policy-rc.d; chmod +x usr/sbin/policy-rc.d
export DEBIAN_FRONTEND=noninteractive
chroot . apt-get update -q
chroot . apt-get install -q -y --no-install-recommends "$@"
rm usr/sbin/policy-rc.d
# A file deleted from the layer below shows as a device node; images know another mark for it, and none is needed.
umount -l proc dev; cd /; umount "$dir/merged"
find "$dir/rootfs" -type c -delete
`;

async function removeDocumentation(rootfs: string): Promise<void> {
  for (const folder of documentation) await rm(path.join(rootfs, folder), { recursive: true, force: true });
}
