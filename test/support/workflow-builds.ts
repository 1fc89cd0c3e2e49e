import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DefaultLogger, bundleWorkflowCode, type WorkflowBundle } from '@temporalio/worker';
import { projectDir } from '../../lab/paths.ts';
import { bundleOptions, plain } from '../../worker/bundle.ts';

/** A change of one file: a text that occurs once, and the text that replaces it. */
export interface SourceChange {
  file: string;
  from: string;
  to: string;
}

/** Other builds of the workflows: copies of the sources with a change, in a folder of their own. */
export class WorkflowBuilds {
  private readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Creates the folder. Outside the project: a run that is killed leaves nothing that the next one checks. */
  static async create(): Promise<WorkflowBuilds> {
    const folder = await mkdtemp(path.join(tmpdir(), 'cni-tests-builds-'));
    for (const name of ['node_modules', 'package.json'])
      await symlink(path.join(projectDir, name), path.join(folder, name));
    return new WorkflowBuilds(folder);
  }

  /**
   * Builds the workflows with changes.
   * @throws Error when the text to replace does not occur exactly once.
   */
  async build(name: string, changes: SourceChange | readonly SourceChange[]): Promise<WorkflowBundle> {
    const copy = path.join(this.folder, name);
    for (const source of ['workflows', 'model', 'temporal'])
      await cp(path.join(projectDir, source), path.join(copy, source), { recursive: true });
    for (const change of [changes].flat()) await applyChange(copy, change);
    return bundleWorkflowCode({
      ...bundleOptions(plain),
      workflowsPath: path.join(copy, 'workflows', 'index.ts'),
      logger: new DefaultLogger('ERROR'),
    });
  }

  /** Removes the folder. */
  remove(): Promise<void> {
    return rm(this.folder, { recursive: true, force: true });
  }
}

async function applyChange(copy: string, { file, from, to }: SourceChange): Promise<void> {
  const changed = path.join(copy, file);
  const text = await readFile(changed, 'utf8');
  if (text.split(from).length !== 2) throw new Error(`"${from}" does not occur exactly once in ${file}`);
  // With a name of its own: the file may already import it.
  const patch = to.includes('isPatched(') ? "import { patched as isPatched } from '@temporalio/workflow';\n" : '';
  await writeFile(changed, patch + text.replace(from, () => to));
}
