import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { provideTimeFactor } from '../runner/machine-factor.ts';
import { prepareBundles } from '../support/prepared-bundles.ts';
import { nameSharedControlPlane, removeSharedControlPlane } from '../support/shared-control-plane.ts';

/** Folders to remove at the end. Jest loads this file once for each project and again for the teardown. */
const shared = globalThis as { bundleFolders?: string[] };

/** Measures the machine's time factor, and prepares what the test files of a project share: the bundled workflows. */
export default async function bundleOnce(
  _: unknown,
  { displayName }: { displayName: { name: string } }
): Promise<void> {
  await provideTimeFactor();
  if (displayName.name === 'api') nameSharedControlPlane();
  const dir = await mkdtemp(path.join(tmpdir(), 'cni-bundles-'));
  (shared.bundleFolders ??= []).push(dir);
  await prepareBundles(dir, displayName.name);
}

/** Removes the folders that {@link bundleOnce} created, and the control plane that the test files shared. */
export async function removeBundles(): Promise<void> {
  await removeSharedControlPlane();
  for (const dir of shared.bundleFolders?.splice(0) ?? []) await rm(dir, { recursive: true });
}
