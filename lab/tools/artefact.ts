import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { toolsDir } from '../paths.ts';
import { identifyProcess, isRunning, waitFor, type ProcessId } from '../process.ts';

/** Number of packages that a build has compiled, and of all packages that it has to compile. */
export interface PackageCount {
  done: number;
  total: number;
}

/** Reports the current step of a build in a short phrase, with its progress where that is known. */
export type ReportStep = (what: string, count?: PackageCount) => void;

/** A folder that the lab builds once and keeps. It is complete or absent, never incomplete. */
export interface Artefact {
  name: string;
  /** Key over everything that determines the content; equal keys mean equal content. */
  key: string;
  /** Artefacts that must exist before this one is built. */
  needs: readonly Artefact[];
  /**
   * Requirements of the build in addition to those of a lab.
   * @default none
   */
  buildsWith?: 'go' | 'debootstrap';
  /**
   * Assembled from its `needs` within seconds, so that bundles leave it out.
   * @default false
   */
  assembled?: boolean;
  /**
   * Downloads the requirements of the build in advance.
   * @default nothing
   */
  prepare?: (reportStep: ReportStep) => Promise<void>;
  /** Fills the folder. */
  build: (dir: string, reportStep: ReportStep) => Promise<void>;
}

/** Returns the folder of a finished artefact. */
export function artefactDir(artefact: Artefact): string {
  return path.join(toolsDir, `${artefact.name}-${artefact.key}`);
}

/** True when the artefact is built. */
export async function isBuilt(artefact: Artefact): Promise<boolean> {
  return stat(artefactDir(artefact)).then(
    () => true,
    () => false
  );
}

/**
 * Creates one artefact in a temporary folder and moves it into place when it is complete, so that neither a crash nor a
 * second builder leaves an incomplete one. When two clones build at the same time, the second waits for the first.
 */
export async function createArtefact(artefact: Artefact, reportStep: ReportStep, fill = artefact.build): Promise<void> {
  const target = artefactDir(artefact);
  await mkdir(toolsDir, { recursive: true });
  const release = await acquireFileLock(`${target}.lock`, reportStep);
  const partial = `${target}.partial-${randomBytes(4).toString('hex')}`;
  try {
    if (await isBuilt(artefact)) return;
    await mkdir(partial, { recursive: true });
    await fill(partial, reportStep);
    await rename(partial, target);
  } finally {
    await rm(partial, { recursive: true, force: true });
    await release();
  }
}

/**
 * Acquires a lock file that names its owner, so that the lock of a process that has ended is taken over.
 * @returns the function that releases the lock.
 */
export async function acquireFileLock(file: string, reportStep: ReportStep): Promise<() => Promise<void>> {
  const self = await identifyProcess(process.pid);
  const tryLock = async (): Promise<boolean> => {
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
    // An empty file is a lock that is being written: its owner gets a moment.
    const abandoned = owner === undefined ? age > 5_000 : !(await isRunning(owner));
    if (abandoned) await rm(file, { force: true });
    else reportStep('waiting for another build of it');
    return false;
  };
  await waitFor(`the lock ${file}`, tryLock, { timeoutMs: 3_600_000, pollIntervalMs: 500 });
  return () => rm(file, { force: true });
}
