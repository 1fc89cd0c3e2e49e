import { stat, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { toolsDir } from '../paths.ts';
import { run } from '../process.ts';
import type { Artefact } from './artefact.ts';
import { costOf, sharedCosts } from './build-costs.ts';
import { goCacheDir, goEnv } from './go-build.ts';
import { findArchive, type PrebuiltArchive } from './prebuilt-list.ts';

/** Space that something takes. */
export interface SpaceNeed {
  what: string;
  /** Need not exist yet. */
  folder: string;
  bytes: number;
}

/** A file system that has too little space. */
export interface SpaceShortage {
  folders: readonly string[];
  neededBytes: number;
  freeBytes: number;
}

/** What is free on the file system of a folder, and which file system that is. */
export interface FileSystem {
  id: number;
  freeBytes: number;
}

const mb = 1_000_000;

/** What a compiler and a linker have in temporary files while they run. */
const temporaryBytes = 1_000 * mb;

/**
 * Returns what it takes to make the artefacts: the tools themselves, archives that are unpacked, and what Go downloads
 * and compiles. Modules and packages that several tools share count once where all are built.
 */
export async function spaceNeeds(
  building: readonly Artefact[],
  unpacking: readonly Artefact[],
  archives: readonly PrebuiltArchive[]
): Promise<SpaceNeed[]> {
  const sumOf = (numbers: readonly number[]): number => numbers.reduce((sum, one) => sum + one, 0);
  const results = [...building, ...unpacking].map(({ name }) => costOf(name).result * mb);
  // Two archives at most lie beside the tools at a time.
  const copies = unpacking.map((one) => findArchive(archives, one)?.size ?? 0).sort((a, b) => b - a);
  const needs: SpaceNeed[] = [{ what: 'tools', folder: toolsDir, bytes: sumOf(results) + sumOf(copies.slice(0, 2)) }];
  const compiled = building.filter(({ buildsWith }) => buildsWith === 'go').map(({ name }) => costOf(name));
  if (compiled.length === 0) return needs;
  const modules = Math.min(sumOf(compiled.map((one) => one.modules)), sharedCosts.modules);
  const cache = Math.min(sumOf(compiled.map((one) => one.cache)), sharedCosts.cache);
  return [
    ...needs,
    { what: 'Go modules', folder: await moduleCache(), bytes: modules * mb },
    { what: "Go's build cache", folder: goCacheDir, bytes: cache * mb },
    { what: 'temporary files', folder: tmpdir(), bytes: temporaryBytes },
  ];
}

/** Returns the file systems that have less space than all that is to lie on them takes together. */
export async function findShortages(
  needs: readonly SpaceNeed[],
  look: (folder: string) => Promise<FileSystem> = fileSystemOf
): Promise<SpaceShortage[]> {
  const byFileSystem = new Map<number, SpaceShortage>();
  for (const { what, folder, bytes } of needs) {
    const { id, freeBytes } = await look(folder);
    const { folders = [], neededBytes = 0 } = byFileSystem.get(id) ?? {};
    byFileSystem.set(id, {
      folders: [...folders, `${folder} (${what})`],
      neededBytes: neededBytes + bytes,
      freeBytes,
    });
  }
  return [...byFileSystem.values()].filter(({ neededBytes, freeBytes }) => freeBytes < neededBytes);
}

/** Looks at the file system that a folder is on, or will be on once it exists. */
async function fileSystemOf(folder: string): Promise<FileSystem> {
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

/** Without Go there is no folder to ask for yet; its usual place is on the file system of the home folder. */
async function moduleCache(): Promise<string> {
  const folder = await run('go', ['env', 'GOMODCACHE'], { env: { ...goEnv, GOTOOLCHAIN: 'local' } }).catch(() => '');
  return folder.trim() === '' ? toolsDir : folder.trim();
}
