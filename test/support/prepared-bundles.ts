import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { WorkflowBundle } from '@temporalio/worker';
import { bundleFile, plain, writeBundles } from '../../worker/bundle.ts';

/** Environment variable with the folder of the bundles that Jest's global setup has prepared. Workers read it, too. */
const variable = 'CNI_MIGRATION_BUNDLES';

/** Module with workflow interceptors with which a test can skip time. */
export const skippedTime = path.join(import.meta.dirname, 'skipped-time.ts');

/** Returns the folder with the bundle whose time a test can skip, in the folder of all bundles. */
const skippedTimeFolder = (bundles: string): string => path.join(bundles, 'skipped-time');

/** Writes the bundles of a project's tests into a folder, and names it in the environment. */
export async function prepareBundles(folder: string, project: string): Promise<void> {
  if (project === 'workflow') {
    await writeBundles(folder, [plain]);
    await writeBundles(skippedTimeFolder(folder), [plain], [skippedTime]);
  } else {
    // Tests that start workers as processes need the bundles with encryption and tracing as well.
    await writeBundles(folder);
  }
  process.env[variable] = folder;
}

/**
 * Reads a bundle that was prepared for this test run.
 * @param skipsTime true for workflows whose time the test can skip.
 * @returns undefined outside a test run.
 */
export async function readBundle(skipsTime: boolean): Promise<WorkflowBundle | undefined> {
  const bundles = process.env[variable];
  if (bundles === undefined) return undefined;
  const folder = skipsTime ? skippedTimeFolder(bundles) : bundles;
  return { code: await readFile(path.join(folder, bundleFile(plain)), 'utf8') };
}
