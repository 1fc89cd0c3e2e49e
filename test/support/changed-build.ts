import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DefaultLogger, bundleWorkflowCode, type WorkflowBundle } from '@temporalio/worker';
import { projectDir } from '../../lab/paths.ts';
import { payloadConverterPath } from '../../temporal/data-converter.ts';

/** A change of one file: a line that precedes another. */
export interface Change {
  /** Path in the project. */
  file: string;
  /** Text that is in the file once. */
  before: string;
  /** Text that is inserted before it. */
  insert: string;
}

/** Returns a bundle of the workflows with a change. */
export async function bundleWithChange({ file, before, insert }: Change): Promise<WorkflowBundle> {
  // Outside the project: a run that is killed leaves nothing that the next one checks.
  const folder = await mkdtemp(path.join(tmpdir(), 'cni-tests-build-'));
  try {
    for (const name of ['node_modules', 'package.json'])
      await symlink(path.join(projectDir, name), path.join(folder, name));
    for (const source of ['workflows', 'model', 'temporal'])
      await cp(path.join(projectDir, source), path.join(folder, source), { recursive: true });
    const text = await readFile(path.join(folder, file), 'utf8');
    if (text.split(before).length !== 2) throw new Error(`"${before}" is not in ${file} once`);
    await writeFile(path.join(folder, file), text.replace(before, `${insert}\n${before}`));
    const logger = new DefaultLogger('ERROR');
    const workflowsPath = path.join(folder, 'workflows', 'index.ts');
    return await bundleWorkflowCode({ workflowsPath, payloadConverterPath, logger });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
