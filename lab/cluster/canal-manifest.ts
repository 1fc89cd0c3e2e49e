import { readFile, writeFile } from 'node:fs/promises';
import { flannelImage } from '../tools/node-images.ts';

const flannelReference = /docker\.io\/flannel\/flannel:\S+/g;

/**
 * Returns Calico's manifest of Canal with the Flannel that the lab has. The manifest names an older version, which is
 * not available as a Go module; both versions take the settings that the manifest contains.
 * @throws {Error} when the manifest names no image of Flannel.
 */
export function withLabFlannel(manifest: string): string {
  const changed = manifest.replaceAll(flannelReference, flannelImage);
  if (!changed.includes(flannelImage)) throw new Error(`Canal's manifest names no image ${flannelReference.source}`);
  return changed;
}

/** Writes the result of {@link withLabFlannel} for one file to another file. */
export async function writeCanalManifest(from: string, to: string): Promise<void> {
  await writeFile(to, withLabFlannel(await readFile(from, 'utf8')));
}
