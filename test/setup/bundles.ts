import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { writeBundles } from '../../worker/bundle.ts';

/** The variable that tells a worker, and tests with one of their own, where workflows are bundled already. */
const variable = 'CNI_MIGRATION_BUNDLES';

/** Bundles the workflows once for all test files of a project, and not in each anew. */
export default async function bundleOnce(
  _: unknown,
  { displayName }: { displayName: { name: string } }
): Promise<void> {
  const dir = await mkdtemp(path.join(tmpdir(), 'cni-bundles-'));
  process.env[variable] = dir;
  // Workers that are processes of their own encrypt and trace, too.
  await writeBundles(dir, displayName.name === 'workflow' ? [{ encrypted: false, traced: false }] : undefined);
}

/** Removes what {@link bundleOnce} made. */
export async function removeBundles(): Promise<void> {
  const dir = process.env[variable];
  if (dir !== undefined) await rm(dir, { recursive: true });
}
