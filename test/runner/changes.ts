import { projectDir } from '../../lab/paths.ts';
import { run } from '../../lab/process.ts';

/**
 * The files that commits changed, with paths from the folder of the checkout.
 * @param since a date as `git log --since` takes it.
 * @returns undefined when the history does not show it: without git, outside a clone, or in a shallow clone.
 */
export async function changedFiles(since: string, cwd = projectDir): Promise<readonly string[] | undefined> {
  try {
    if ((await run('git', ['rev-parse', '--is-shallow-repository'], { cwd })).trim() !== 'false') return undefined;
    // "-m" includes what a merge brought in, and without renames the old path of a moved file is included, too.
    const args = ['log', `--since=${since}`, '-m', '--no-renames', '--name-only', '--format=', '-z'];
    const output = await run('git', args, { cwd });
    return [...new Set(output.split(/[\0\n]/).filter((file) => file !== ''))];
  } catch {
    return undefined;
  }
}
