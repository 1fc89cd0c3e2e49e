import { stat, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { toolsDir } from '../paths.ts';
import { run } from '../process.ts';
import type { Artefact } from './artefact.ts';
import { getBuildCost, sharedCosts } from './build-costs.ts';
import { goCacheDir, goEnv } from './go-build.ts';
import { findArchive, type PrebuiltArchive } from './prebuilt-list.ts';

/** Required disk space in a folder. */
export interface SpaceNeed {
  what: string;
  /** The folder need not exist yet. */
  folder: string;
  bytes: number;
}

/** A file system that has too little space. */
export interface SpaceShortage {
  folders: readonly string[];
  neededBytes: number;
  freeBytes: number;
}

/** Free space of the file system of a folder, and the identity of that file system. */
export interface FileSystem {
  id: number;
  freeBytes: number;
}

const bytesPerMb = 1_000_000;

/** Size of the temporary files of a compiler and a linker while they run, in bytes. */
const temporaryBytes = 1_000 * bytesPerMb;

/**
 * Returns the disk space that the creation of the artefacts requires: the tools themselves, archives that are unpacked,
 * and Go's downloads and compiled packages. Modules and packages that several tools share count once when all are
 * built.
 */
export async function computeSpaceNeeds(
  building: readonly Artefact[],
  unpacking: readonly Artefact[],
  archives: readonly PrebuiltArchive[]
): Promise<SpaceNeed[]> {
  const total = (numbers: readonly number[]): number => numbers.reduce((sum, value) => sum + value, 0);
  const results = [...building, ...unpacking].map(({ name }) => getBuildCost(name).result * bytesPerMb);
  // At most two archives are next to the tools at the same time.
  const copies = unpacking.map((artefact) => findArchive(archives, artefact)?.size ?? 0).sort((a, b) => b - a);
  const needs: SpaceNeed[] = [{ what: 'tools', folder: toolsDir, bytes: total(results) + total(copies.slice(0, 2)) }];
  const compiled = building.filter(({ buildsWith }) => buildsWith === 'go').map(({ name }) => getBuildCost(name));
  if (compiled.length === 0) return needs;
  const modules = Math.min(total(compiled.map((cost) => cost.modules)), sharedCosts.modules);
  const cache = Math.min(total(compiled.map((cost) => cost.cache)), sharedCosts.cache);
  return [
    ...needs,
    { what: 'Go modules', folder: await moduleCache(), bytes: modules * bytesPerMb },
    { what: "Go's build cache", folder: goCacheDir, bytes: cache * bytesPerMb },
    { what: 'temporary files', folder: tmpdir(), bytes: temporaryBytes },
  ];
}

/** Returns the file systems that have less free space than all needs on them together. */
export async function findShortages(
  needs: readonly SpaceNeed[],
  readFileSystem: (folder: string) => Promise<FileSystem> = statFileSystem
): Promise<SpaceShortage[]> {
  const byFileSystem = new Map<number, SpaceShortage>();
  for (const { what, folder, bytes } of needs) {
    const { id, freeBytes } = await readFileSystem(folder);
    const { folders = [], neededBytes = 0 } = byFileSystem.get(id) ?? {};
    byFileSystem.set(id, {
      folders: [...folders, `${folder} (${what})`],
      neededBytes: neededBytes + bytes,
      freeBytes,
    });
  }
  return [...byFileSystem.values()].filter(({ neededBytes, freeBytes }) => freeBytes < neededBytes);
}

/** Returns the file system of a folder, or the one on which the folder will be created. */
async function statFileSystem(folder: string): Promise<FileSystem> {
  let existing = path.resolve(folder);
  for (;;) {
    const info = await stat(existing).catch(() => undefined);
    if (info !== undefined) {
      const { bavail, bsize } = await statfs(existing);
      return { id: info.dev, freeBytes: bavail * bsize };
    }
    existing = path.dirname(existing);
  }
}

/**
 * Returns the folder of Go's modules. Without Go it is unknown; the usual one is on the file system of the home folder.
 */
async function moduleCache(): Promise<string> {
  const folder = await run('go', ['env', 'GOMODCACHE'], { env: { ...goEnv, GOTOOLCHAIN: 'local' } }).catch(() => '');
  return folder.trim() === '' ? toolsDir : folder.trim();
}
