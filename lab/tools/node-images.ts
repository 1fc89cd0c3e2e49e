import { spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { computeKey } from '../paths.ts';
import { run, succeeds, waitFor } from '../process.ts';
import { artefactDir, type Artefact } from './artefact.ts';
import { clangLayer, debianBase, nftablesLayer } from './debian-layers.ts';
import { packImages, type ImageSpec } from './image-archive.ts';
import type { ProgramName } from './programs.ts';

const imageSources = path.join(import.meta.dirname, '..', 'images');

/** Image names of the lab's own programs. */
export const appImage = 'cni-live-migration/lab-app:1';
export const proberImage = 'cni-live-migration/prober:1';
export const coexistenceImage = 'cni-live-migration/coexistence:1';
export const pauseImage = 'registry.k8s.io/pause:3.10';
/** Versions that the images below are built from, as `go/<set>/go.mod` pins them. */
export const builtVersions = { calico: '3.28.5', cilium: '1.20.2', coredns: '1.14.7', flannel: '0.28.10' } as const;
export const flannelImage = `docker.io/flannel/flannel:v${builtVersions.flannel}`;
export const corednsImage = `registry.k8s.io/coredns/coredns:v${builtVersions.coredns}`;

/** Files of one image layer: target path → source file or folder. */
type LayerFiles = Readonly<Record<string, string>>;

/**
 * Returns the images of Canal, Cilium and CoreDNS in a containerd folder, `containerd/`, with all layers unpacked.
 * Every node of a lab starts from a copy by hard links, so that a node costs neither time nor space.
 */
export async function systemImages(
  sets: Readonly<Record<'cilium' | 'calico' | 'flannel' | 'coredns' | 'containerd' | 'cni-plugins', Artefact>>
): Promise<Artefact> {
  const scripts = await Promise.all(
    ['calico-install.sh', 'calico-start.sh', 'cilium-clang.sh'].map((file) =>
      readFile(path.join(imageSources, file), 'utf8')
    )
  );
  const needs = [debianBase, nftablesLayer, clangLayer, ...Object.values(sets)];
  return {
    name: 'system-images',
    key: computeKey(...needs.map((need) => need.key), ...scripts, JSON.stringify(builtVersions)),
    needs,
    assembled: true,
    build: async (dir, reportStep) => {
      const bin = (set: keyof typeof sets, name: string): string => path.join(artefactDir(sets[set]), 'bin', name);
      const ciliumDir = artefactDir(sets.cilium);
      const layers = path.join(dir, 'layers');
      const layer = async (name: string, files: LayerFiles, links: LayerFiles = {}): Promise<string> => {
        await writeLayerFiles(path.join(layers, name), files, links);
        return path.join(layers, name);
      };
      const base = path.join(artefactDir(debianBase), 'rootfs');
      const clang = path.join(artefactDir(clangLayer), 'rootfs');
      const nftables = path.join(artefactDir(nftablesLayer), 'rootfs');
      // usr/bin, never bin: bin is a link in the base layer, and a folder would replace it.
      const cniPlugins = ['portmap', 'bandwidth', 'host-local', 'loopback', 'tuning'];
      const images: ImageSpec[] = [
        {
          name: `docker.io/calico/cni:v${builtVersions.calico}`,
          entrypoint: ['/opt/cni/bin/install'],
          layers: [
            base,
            await layer('calico-cni', {
              ...Object.fromEntries(cniPlugins.map((name) => [`opt/cni/bin/${name}`, bin('cni-plugins', name)])),
              'opt/cni/bin/calico': bin('calico', 'calico'),
              'opt/cni/install.real': bin('calico', 'calico-cni-install'),
              'opt/cni/bin/install': path.join(imageSources, 'calico-install.sh'),
            }),
          ],
        },
        {
          name: `docker.io/calico/node:v${builtVersions.calico}`,
          entrypoint: ['/usr/bin/start'],
          layers: [
            base,
            await layer('calico-node', {
              'usr/bin/calico-node': bin('calico', 'calico-node'),
              'usr/bin/start': path.join(imageSources, 'calico-start.sh'),
            }),
          ],
        },
        {
          name: `docker.io/calico/kube-controllers:v${builtVersions.calico}`,
          entrypoint: ['/usr/bin/kube-controllers'],
          layers: [
            base,
            await layer('calico-kube-controllers', {
              'usr/bin/kube-controllers': bin('calico', 'kube-controllers'),
              'usr/bin/check-status': bin('calico', 'check-status'),
            }),
          ],
        },
        {
          name: flannelImage,
          entrypoint: ['/opt/bin/flanneld'],
          layers: [base, nftables, await layer('flannel', { 'opt/bin/flanneld': bin('flannel', 'flanneld') })],
        },
        {
          name: `quay.io/cilium/cilium:v${builtVersions.cilium}`,
          entrypoint: ['/usr/bin/cilium-dbg'],
          layers: [
            base,
            clang,
            await layer(
              'cilium',
              {
                ...Object.fromEntries(
                  ['cilium-agent', 'cilium-mount', 'cilium-sysctlfix'].map((name) => [
                    `usr/bin/${name}`,
                    bin('cilium', name),
                  ])
                ),
                'opt/cni/bin/cilium-cni': bin('cilium', 'cilium-cni'),
                'cni/loopback': bin('cni-plugins', 'loopback'),
                'usr/bin/clang': path.join(imageSources, 'cilium-clang.sh'),
                'var/lib/cilium/bpf': path.join(ciliumDir, 'bpf'),
                ...Object.fromEntries(
                  ['init-container.sh', 'install-plugin.sh', 'cni-uninstall.sh'].map((name) => [
                    name,
                    path.join(ciliumDir, 'scripts', name),
                  ])
                ),
              },
              { 'usr/bin/cilium-dbg': 'cilium-agent', 'usr/bin/cilium': 'cilium-agent' }
            ),
          ],
        },
        {
          name: `quay.io/cilium/operator-generic:v${builtVersions.cilium}`,
          entrypoint: ['/usr/bin/cilium-operator-generic'],
          layers: [
            base,
            await layer('cilium-operator', { 'usr/bin/cilium-operator-generic': bin('cilium', 'cilium-operator') }),
          ],
        },
        {
          name: corednsImage,
          entrypoint: ['/coredns'],
          layers: [await layer('coredns', { coredns: bin('coredns', 'coredns') })],
        },
      ];
      await importImages(images, dir, artefactDir(sets.containerd), reportStep);
      await rm(layers, { recursive: true });
    },
  };
}

/** Images of the lab's own programs, each with the program that it starts. */
const programImages: readonly (readonly [image: string, program: ProgramName])[] = [
  [pauseImage, 'pause'],
  [appImage, 'app'],
  [proberImage, 'prober'],
  [coexistenceImage, 'coexistence'],
];

/** Returns the system images and those of the lab's own programs, in `containerd/`: the initial content of a node. */
export function nodeImages(
  system: Artefact,
  containerd: Artefact,
  programs: Readonly<Record<ProgramName, Artefact>>
): Artefact {
  const needs = [system, containerd, ...Object.values(programs)];
  return {
    name: 'node-images',
    key: computeKey(...needs.map((need) => need.key), JSON.stringify(programImages)),
    needs,
    assembled: true,
    build: async (dir, reportStep) => {
      await copyByLinks(path.join(artefactDir(system), 'containerd'), path.join(dir, 'containerd'));
      const images: ImageSpec[] = [];
      for (const [name, program] of programImages) {
        const layer = path.join(dir, 'layers', program);
        await writeLayerFiles(layer, { [program]: path.join(artefactDir(programs[program]), 'bin', program) }, {});
        images.push({ name, layers: [layer], entrypoint: [`/${program}`] });
      }
      await importImages(images, dir, artefactDir(containerd), reportStep);
      await rm(path.join(dir, 'layers'), { recursive: true });
    },
  };
}

/**
 * Copies a containerd folder by hard links where the file system supports it. Unpacked layers are never modified, but
 * containerd modifies its databases in place: those are real copies.
 */
export async function copyByLinks(from: string, to: string): Promise<void> {
  if (!(await succeeds('cp', ['-a', '--link', from, to]))) {
    await rm(to, { recursive: true, force: true });
    await run('cp', ['-a', from, to]);
    return;
  }
  for (const database of [
    'io.containerd.metadata.v1.bolt/meta.db',
    'io.containerd.snapshotter.v1.overlayfs/metadata.db',
  ]) {
    await rm(path.join(to, database));
    await cp(path.join(from, database), path.join(to, database));
  }
}

async function writeLayerFiles(layer: string, files: LayerFiles, links: LayerFiles): Promise<void> {
  for (const [target, source] of Object.entries(files)) {
    const file = path.join(layer, target);
    await mkdir(path.dirname(file), { recursive: true });
    await cp(source, file, { recursive: true });
  }
  for (const [target, to] of Object.entries(links)) await symlink(to, path.join(layer, target));
}

async function importImages(
  images: readonly ImageSpec[],
  dir: string,
  containerdDir: string,
  reportStep: (what: string) => void
): Promise<void> {
  const archive = path.join(dir, 'images.tar');
  reportStep('packing');
  await packImages(images, archive, path.join(dir, 'archive'));
  reportStep('unpacking into containerd');
  // Not within `dir`: a socket's path has at most 107 characters.
  const state = await mkdtemp(path.join(tmpdir(), 'cni-lab-'));
  const socket = path.join(state, 'containerd.sock');
  const config = path.join(state, 'config.toml');
  await writeFile(
    config,
    [
      'version = 3',
      `root = "${path.join(dir, 'containerd')}"`,
      `state = "${state}/run"`,
      'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"]',
      '[grpc]',
      `address = "${socket}"`,
    ].join('\n')
  );
  const bin = (name: string): string => path.join(containerdDir, 'bin', name);
  const daemon = spawn(bin('containerd'), ['--config', config], { stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => {
    daemon.once('exit', () => resolve());
    daemon.once('error', () => resolve());
  });
  try {
    await waitFor('containerd to answer', () => succeeds(bin('ctr'), ['-a', socket, 'version']), { timeoutMs: 30_000 });
    await run(bin('ctr'), ['-a', socket, '-n', 'k8s.io', 'images', 'import', '--local', archive]);
  } finally {
    daemon.kill('SIGTERM');
    await ended;
    await rm(state, { recursive: true, force: true });
  }
  await rm(archive);
}
