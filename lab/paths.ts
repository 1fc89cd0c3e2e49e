import { createHash } from 'node:crypto';
import { homedir } from 'node:os';
import path from 'node:path';

/** Folder of this checkout. */
export const projectDir = path.resolve(import.meta.dirname, '..');

/**
 * Folder of the lab's built tools and running labs. All clones of one user share it, so that a second clone builds
 * nothing again. `CNI_LAB_CACHE` moves it.
 */
export const cacheDir = path.resolve(
  process.env['CNI_LAB_CACHE'] ??
    path.join(process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'), 'cni-live-migration')
);

/** Built tools: one folder per name and key, never changed after it is complete. */
export const toolsDir = path.join(cacheDir, 'tools');

/** Programs that Cilium's agents compiled, shared by all labs. */
export const compiledDir = path.join(cacheDir, 'compiled');

/** One folder per running lab. */
export const labsDir = path.join(cacheDir, 'labs');

/** Returns a short key over everything that determines a tool: the same parts give the same folder. */
export function computeKey(...parts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex').slice(0, 12);
}
