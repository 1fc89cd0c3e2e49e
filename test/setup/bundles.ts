import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { plain, writeBundles } from '../../worker/bundle.ts';

/** Folders to remove in the end; Jest loads this file once for each project and once more for the end. */
const shared = globalThis as { bundleFolders?: string[] };

/** Bundles the workflows once for all test files of a project, and not in each anew. */
export default async function bundleOnce(
  _: unknown,
  { displayName }: { displayName: { name: string } }
): Promise<void> {
  const dir = await mkdtemp(path.join(tmpdir(), 'cni-bundles-'));
  (shared.bundleFolders ??= []).push(dir);
  // Workers that are processes of their own encrypt and trace, too.
  await writeBundles(dir, displayName.name === 'workflow' ? [plain] : undefined);
  // Where workers look, and tests with a worker of their own.
  process.env['CNI_MIGRATION_BUNDLES'] = dir;
}

/** Removes what {@link bundleOnce} made. */
export async function removeBundles(): Promise<void> {
  for (const dir of shared.bundleFolders?.splice(0) ?? []) await rm(dir, { recursive: true });
}
