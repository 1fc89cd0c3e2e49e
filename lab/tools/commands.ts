import { access, constants } from 'node:fs/promises';
import path from 'node:path';
import { run } from '../process.ts';

/** Commands, each with the Debian package that contains it. */
export type Commands = Readonly<Record<string, string>>;

/** Returns the commands that are not on PATH. */
export async function findMissingCommands(commands: Commands, searchPath = process.env['PATH']): Promise<string[]> {
  const folders = (searchPath ?? '').split(':').filter((folder) => folder !== '');
  const present = await Promise.all(Object.keys(commands).map((command) => isIn(folders, command)));
  return Object.keys(commands).filter((_, index) => present[index] !== true);
}

/** Returns the packages of these commands, sorted. */
export function findPackages(commands: Commands, names: readonly string[]): string[] {
  return [...new Set(names.flatMap((name) => commands[name] ?? []))].sort();
}

/**
 * Installs packages with apt-get.
 * @throws {CommandFailed} when apt-get fails.
 */
export async function installPackages(packages: readonly string[]): Promise<void> {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  await run('apt-get', ['update', '-q'], { env });
  await run('apt-get', ['install', '-q', '-y', '--no-install-recommends', ...packages], { env });
}

async function isIn(folders: readonly string[], command: string): Promise<boolean> {
  for (const folder of folders) {
    const executable = await access(path.join(folder, command), constants.X_OK).then(
      () => true,
      () => false
    );
    if (executable) return true;
  }
  return false;
}
