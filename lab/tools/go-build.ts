import path from 'node:path';
import { cacheDir } from '../paths.ts';
import { CommandFailed, run } from '../process.ts';
import type { PackageCount } from './artefact.ts';

/**
 * Go release that compiles everything, so that the same sources give the same binaries on every machine. Another Go on
 * PATH downloads this release as a Go module and runs it.
 */
export const goVersion = 'go1.26.8';

/** Oldest Go that can download another release by its name. */
export const minimumGo = [1, 21] as const;

/** Options of one Go program in addition to the common ones. */
interface GoBuild {
  /**
   * Import path of the main package.
   * @default the one in the folder itself
   */
  package?: string;
  /**
   * Build tags in addition to the common ones.
   * @default none
   */
  tags?: readonly string[];
  /**
   * Linker flags in addition to `-s -w`.
   * @default none
   */
  ldflags?: string;
}

/** Build tags of all programs: Go resolves names itself, without C. */
const commonTags = ['netgo', 'osusergo'];

/** Build cache that all Go builds of the project share. It is large, and only builds, vets and tests use it. */
export const goCacheDir = path.join(cacheDir, 'go-build');

/** Environment of every `go` command: with the same settings, each package is compiled only once. */
export const goEnv: NodeJS.ProcessEnv = {
  ...process.env,
  CGO_ENABLED: '0',
  GOTOOLCHAIN: goVersion,
  GOCACHE: goCacheDir,
  GOWORK: 'off',
  // The linker leaves the debugger's tables out ("-w"), so that compilers need not create them.
  GOFLAGS: `-trimpath -buildvcs=false -gcflags=all=-dwarf=false -tags=${commonTags.join(',')}`,
  // Compilers end before a garbage collection pays off: a fifth less work, at 1.5 GB for one that compiles much.
  GOGC: 'off',
  GOMEMLIMIT: '1500MiB',
};

/**
 * Builds a Go program for any machine that has this one's kernel: the result contains nothing of this machine.
 * @param cwd folder whose go.mod applies.
 * @param out file to write.
 * @param counter counts the compiled packages.
 * @throws {CommandFailed} with the compiler's messages.
 */
export async function buildGo(
  cwd: string,
  out: string,
  options: GoBuild = {},
  counter?: PackageCounter
): Promise<void> {
  const { package: main = '.', tags = [], ldflags } = options;
  const linker = ['-s', '-w', ...(ldflags === undefined ? [] : [ldflags])];
  const args = ['-v', ...tagsOption(tags), '-ldflags', linker.join(' '), '-o', out, main];
  const messages: string[] = [];
  try {
    await run('go', ['build', ...args], {
      cwd,
      env: goEnv,
      onErrorLine: (line) => {
        // A line with nothing but a package name means that the package is being compiled.
        if (/^\S+$/.test(line)) counter?.take(line);
        else messages.push(line);
      },
    });
  } catch (error) {
    if (!(error instanceof CommandFailed) || messages.length === 0) throw error;
    throw new CommandFailed(`go build ${main} in ${cwd}`, error.code, messages.join('\n'), error);
  }
}

/** Programs of one folder that are built with the same tags. */
interface GoPrograms {
  /**
   * Import paths of the main packages.
   * @default the one in the folder itself
   */
  packages?: readonly string[];
  /**
   * Build tags in addition to the common ones.
   * @default none
   */
  tags?: readonly string[];
}

/**
 * Returns the import paths of the packages that a build of the programs still has to compile. Downloads the modules
 * that the build needs and the machine lacks, and no others.
 * @param cwd folder whose go.mod applies.
 */
export async function listPackages(cwd: string, { packages = ['.'], tags = [] }: GoPrograms = {}): Promise<string[]> {
  const format = '{{if .Stale}}{{.ImportPath}}{{end}}';
  const text = await run('go', ['list', '-deps', ...tagsOption(tags), '-f', format, ...packages], { cwd, env: goEnv });
  return text.split('\n').filter((line) => line !== '');
}

/** Counts the compiled packages, out of those that a build has to compile. */
export class PackageCounter {
  readonly #left: Set<string>;
  readonly #total: number;
  readonly #onCount: (count: PackageCount) => void;

  constructor(packages: Iterable<string>, onCount: (count: PackageCount) => void) {
    this.#left = new Set(packages);
    this.#total = this.#left.size;
    this.#onCount = onCount;
    onCount({ done: 0, total: this.#total });
  }

  /** Counts a package that is being compiled; ignores one that is not expected or was counted before. */
  take(importPath: string): void {
    if (this.#left.delete(importPath)) this.#onCount({ done: this.#total - this.#left.size, total: this.#total });
  }
}

function tagsOption(tags: readonly string[]): string[] {
  return ['-tags', [...commonTags, ...tags].join(',')];
}
