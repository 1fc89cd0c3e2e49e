import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { labDown, labUp, type Lab } from '../../lab/cluster/lab.ts';
import { labsDir } from '../../lab/paths.ts';
import { acquireFileLock } from '../../lab/tools/artefact.ts';
import { uniqueLabName } from './lab.ts';

/** Environment variable with the name of the shared control plane: Jest's global setup sets it for the test files. */
const variable = 'CNI_TEST_CONTROL_PLANE';

/** Chooses the name of the control plane that test files share. Call it in Jest's global setup. */
export function nameSharedControlPlane(): void {
  process.env[variable] = uniqueLabName('shared');
}

/** Removes the shared control plane, if a test file has started it. Call it in Jest's global teardown. */
export async function removeSharedControlPlane(): Promise<void> {
  const name = process.env[variable];
  if (name !== undefined) await labDown(name);
}

/**
 * Returns access to a control plane without nodes that several test files share: the first one starts it. A file may
 * use it when it needs nothing that others leave behind, and leaves nothing behind that changes the results of others:
 * objects have names that no other file uses, and the API server keeps running.
 */
export function useSharedControlPlane(): () => Lab {
  const name = process.env[variable];
  let lab: Lab | undefined;
  beforeAll(async () => {
    if (name === undefined)
      throw new Error(`${variable} is not set: Jest's global setup has to call nameSharedControlPlane()`);
    await mkdir(labsDir, { recursive: true });
    // Files may run in parallel.
    const release = await acquireFileLock(path.join(labsDir, `.${name}.lock`), () => undefined);
    try {
      lab = await labUp({ nodes: 0, name, ephemeral: true });
    } finally {
      await release();
    }
  });
  return () => {
    if (lab === undefined) throw new Error('the shared control plane is not up yet');
    return lab;
  };
}
