import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { link, mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { run } from '../process.ts';

/** A container image: its name, its layers as folders (lowest first), and the command that it starts. */
export interface ImageSpec {
  name: string;
  layers: readonly string[];
  entrypoint: readonly string[];
}

/**
 * Packs images into one archive in the format of `docker save`, which containerd imports; a layer that several images
 * share is included once. The folder `scratch` holds temporary files.
 */
export async function packImages(images: readonly ImageSpec[], archive: string, scratch: string): Promise<void> {
  await mkdir(scratch, { recursive: true });
  const digests = new Map<string, string>();
  for (const layer of new Set(images.flatMap((image) => image.layers)))
    digests.set(layer, await packLayer(layer, scratch));
  const manifest = [];
  for (const image of images) {
    const layers = image.layers.map((layer) => digests.get(layer) ?? '');
    const config = JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: {
        Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
        Entrypoint: image.entrypoint,
      },
      rootfs: { type: 'layers', diff_ids: layers.map((digest) => `sha256:${digest}`) },
      history: layers.map(() => ({ created: '2020-01-01T00:00:00Z' })),
    });
    const file = `${createHash('sha256').update(config).digest('hex')}.json`;
    await writeFile(path.join(scratch, file), config);
    manifest.push({ Config: file, RepoTags: [image.name], Layers: layers.map((digest) => `${digest}/layer.tar`) });
  }
  await writeFile(path.join(scratch, 'manifest.json'), JSON.stringify(manifest));
  await run('tar', ['-C', scratch, '-cf', archive, '.']);
  await rm(scratch, { recursive: true });
}

async function packLayer(folder: string, scratch: string): Promise<string> {
  const file = path.join(scratch, 'layer.tmp');
  // Sorted and without times: the same content gives the same digest.
  await run('tar', ['-C', folder, '--sort=name', '--mtime=@0', '--numeric-owner', '-cf', file, '.']);
  const digest = await sha256(file);
  await mkdir(path.join(scratch, digest), { recursive: true });
  await link(file, path.join(scratch, digest, 'layer.tar'));
  await rm(file);
  return digest;
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
