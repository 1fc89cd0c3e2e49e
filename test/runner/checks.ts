import path from 'node:path';
import { projectDir } from '../../lab/paths.ts';
import { goEnv } from '../../lab/tools/go-build.ts';

/** A command that succeeds when something about the sources holds. */
export interface Check {
  name: string;
  command: readonly string[];
  cwd?: string;
  env?: Readonly<Record<string, string>>;
  /** Usual duration on the reference machine. */
  usualMinutes: number;
}

/** Folders with a Go module of this project. */
export const goFolders = [
  ...['images/prober', 'images/coexistence', 'lab/app', 'lab/images/pause', 'lab/tools/go/compose'],
  ...['test/policy-matrix', 'test/bench/scale/simulator'],
];
const goTestFolders = ['images/prober', 'images/coexistence', 'test/policy-matrix'];

const go = (verb: 'vet' | 'test', folder: string): Check => ({
  name: `go ${verb} ${folder}`,
  command: ['go', verb, './...'],
  cwd: path.join(projectDir, folder),
  env: Object.fromEntries(
    Object.entries(goEnv).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))
  ),
  // With an empty cache, the libraries of Kubernetes are compiled first.
  usualMinutes: 4,
});

/** The checks, longest first after the one that names missing commands: they run two at a time. */
export const checks: readonly Check[] = [
  { name: 'commands', command: ['node', 'test/runner/check-commands.ts'], usualMinutes: 1 },
  { name: 'lint', command: ['eslint', '--max-warnings', '0', '.'], usualMinutes: 2 },
  { name: 'imports', command: ['depcruise', '--config', '.dependency-cruiser.mjs', '.'], usualMinutes: 1 },
  { name: 'types', command: ['tsc', '--noEmit'], usualMinutes: 2 },
  { name: 'format', command: ['prettier', '--check', '--log-level', 'warn', '.'], usualMinutes: 2 },
  ...goFolders.map((folder) => go('vet', folder)),
  ...goTestFolders.map((folder) => go('test', folder)),
];
