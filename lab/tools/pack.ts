import { createHash } from 'node:crypto';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { artefactDir, type Artefact } from './artefact.ts';
import { packFolder } from './archive.ts';
import { formatPrebuiltList, listFile, type PrebuiltArchive } from './prebuilt-list.ts';

/** A bundle that was written. */
export interface PackedBundle {
  archives: readonly PrebuiltArchive[];
  /** SHA-256 of the list, in hexadecimal: this digest is enough to trust the whole bundle. */
  listSha256: string;
}

/**
 * Writes an archive of each built artefact, and their list, into a folder. Assembled artefacts are left out. The list
 * is written last, so that it never names a missing archive.
 * @param log receives one line for each archive.
 * @throws Error when an artefact is not built.
 */
export async function packBundle(
  artefacts: readonly Artefact[],
  out: string,
  log: (line: string) => void
): Promise<PackedBundle> {
  await mkdir(out, { recursive: true });
  const archives: PrebuiltArchive[] = [];
  for (const artefact of artefacts.filter(({ assembled }) => assembled !== true)) {
    const archive = await packArtefact(artefact, out);
    archives.push(archive);
    log(`${archive.file}: ${(archive.size / 1e6).toFixed(1)} MB`);
  }
  const list = formatPrebuiltList(archives);
  await writeFile(path.join(out, listFile), list);
  return { archives, listSha256: createHash('sha256').update(list).digest('hex') };
}

async function packArtefact(artefact: Artefact, out: string): Promise<PrebuiltArchive> {
  const { name, key } = artefact;
  const file = `${name}-${key}.tar.zst`;
  const target = path.join(out, file);
  const partial = `${target}.partial-${process.pid}`;
  try {
    const { size, sha256 } = await packFolder(artefactDir(artefact), partial);
    await rename(partial, target);
    return { name, key, file, size, sha256 };
  } finally {
    await rm(partial, { force: true });
  }
}
