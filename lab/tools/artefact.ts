import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { toolsDir } from '../paths.ts';
import { identifyProcess, isRunning, until, type ProcessId } from '../process.ts';

/** Packages that a build has compiled, of those that it has to compile. */
export interface PackageCount {
  done: number;
  total: number;
}

/** Reports what a build does, in one short phrase, and how far it is where that is known. */
export type Say = (what: string, count?: PackageCount) => void;

/** Something the lab builds once and keeps: a folder that is complete or absent, never half. */
export interface Artefact {
  name: string;
  /** What decides the content; equal keys mean equal content. */
  key: string;
  /** Artefacts that must be there before this one is built. */
  needs: readonly Artefact[];
  /** What the machine needs for the build beside what a lab needs. @default nothing */
  buildsWith?: 'go' | 'debootstrap';
  /** Put together from its `needs` within seconds, so that bundles leave it out. @default false */
  assembled?: boolean;
  /** Downloads what the build needs, ahead of it. @default nothing */
  prepare?: (say: Say) => Promise<void>;
  /** Fills the folder. */
  build: (dir: string, say: Say) => Promise<void>;
}

/** Where a finished artefact is. */
export function artefactDir(artefact: Artefact): string {
  return path.join(toolsDir, `${artefact.name}-${artefact.key}`);
}

/** True when it is built. */
export async function isBuilt(artefact: Artefact): Promise<boolean> {
  return stat(artefactDir(artefact)).then(
    () => true,
    () => false
  );
}

/**
 * Makes one artefact in a folder of its own and moves it into place when complete, so that a crash or a second
 * builder never leaves a half one. Two clones that build at once: the second waits for the first.
 */
export async function makeArtefact(artefact: Artefact, say: Say, fill = artefact.build): Promise<void> {
  const target = artefactDir(artefact);
  await mkdir(toolsDir, { recursive: true });
  const release = await lock(`${target}.lock`, say);
  const partial = `${target}.partial-${randomBytes(4).toString('hex')}`;
  try {
    if (await isBuilt(artefact)) return;
    await mkdir(partial, { recursive: true });
    await fill(partial, say);
    await rename(partial, target);
  } finally {
    await rm(partial, { recursive: true, force: true });
    await release();
  }
}

/** Takes a lock file that names its owner, so that the lock of a process that is gone is taken over. */
export async function lock(file: string, say: Say): Promise<() => Promise<void>> {
  const self = await identifyProcess(process.pid);
  const take = async (): Promise<boolean> => {
    try {
      const handle = await open(file, 'wx');
      await handle.writeFile(JSON.stringify(self));
      await handle.close();
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const owner = await readFile(file, 'utf8').then(
      (text) => (text === '' ? undefined : (JSON.parse(text) as ProcessId)),
      () => undefined
    );
    const age = await stat(file).then(
      (info) => Date.now() - info.mtimeMs,
      () => 0
    );
    // An empty file is a lock that is being written: leave it a moment.
    const abandoned = owner === undefined ? age > 5_000 : !(await isRunning(owner));
    if (abandoned) await rm(file, { force: true });
    else say('waiting for another build of it');
    return false;
  };
  await until(`the lock ${file}`, take, { timeoutMs: 3_600_000, everyMs: 500 });
  return () => rm(file, { force: true });
}
