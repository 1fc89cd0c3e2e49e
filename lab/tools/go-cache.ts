import { randomBytes } from 'node:crypto';
import { readFile, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { toolsDir } from '../paths.ts';
import { isRunning, type ProcessId } from '../process.ts';
import { goCacheDir } from './go-build.ts';

/** Environment variable that keeps Go's build cache when it is set. */
export const keepGoCacheVariable = 'CNI_LAB_KEEP_GO_CACHE';

/**
 * Removes the packages that Go compiled for the lab's tools: several GB that a running lab does not need. They stay
 * while another process builds, and where `CNI_LAB_KEEP_GO_CACHE` is set, which saves developers of the project's Go
 * programs minutes of compiling.
 * @returns true when they were removed.
 */
export async function removeGoCache(env: NodeJS.ProcessEnv = process.env): Promise<boolean> {
  if ((env[keepGoCacheVariable] ?? '') !== '' || (await isAnotherBuilding())) return false;
  // A build that starts meanwhile finds no folder, and creates one; it never finds an incomplete one.
  const removed = `${goCacheDir}.removed-${randomBytes(4).toString('hex')}`;
  try {
    await rename(goCacheDir, removed);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
  await rm(removed, { recursive: true, force: true });
  return true;
}

/** True while another process holds the lock of an artefact. */
async function isAnotherBuilding(): Promise<boolean> {
  const locks = (await readdir(toolsDir).catch(() => [] as string[])).filter((file) => file.endsWith('.lock'));
  const building = await Promise.all(
    locks.map(async (file) => {
      const text = await readFile(path.join(toolsDir, file), 'utf8').catch(() => '');
      if (text === '') return false;
      const owner = JSON.parse(text) as ProcessId;
      return owner.pid !== process.pid && (await isRunning(owner));
    })
  );
  return building.includes(true);
}
