import { createHash } from 'node:crypto';
import { homedir } from 'node:os';
import path from 'node:path';

/** The folder of this checkout. */
export const projectDir = path.resolve(import.meta.dirname, '..');

/**
 * Where the lab keeps what it built and what runs: shared by all clones of one user, so that a second clone builds
 * nothing again. `CNI_LAB_CACHE` moves it.
 */
export const cacheDir = path.resolve(
  process.env['CNI_LAB_CACHE'] ??
    path.join(process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'), 'cni-live-migration')
);

/** Built tools, one folder per name and key; never changed after it is complete. */
export const toolsDir = path.join(cacheDir, 'tools');

/** What Cilium's agents compiled, for all labs. */
export const compiledDir = path.join(cacheDir, 'compiled');

/** One folder per running lab. */
export const labsDir = path.join(cacheDir, 'labs');

/** A short key over everything that decides what a tool is: the same parts give the same folder. */
export function keyOf(...parts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex').slice(0, 12);
}
