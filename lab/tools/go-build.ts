import { run } from '../process.ts';

/** What one Go program needs beside what all have. */
interface GoBuild {
  /** Import path of the main package. @default the one in the folder itself */
  package?: string;
  /** Build tags beside those of all. @default none */
  tags?: readonly string[];
  /** Linker flags beside `-s -w`. @default none */
  ldflags?: string;
  /** Needs a C compiler; linked statically all the same. @default false */
  cgo?: boolean;
}

/** With these, programs with and without cgo are made of the same packages: neither looks names up in C. */
const commonTags = ['netgo', 'osusergo'];

/**
 * Builds a Go program for any machine that has this one's kernel: nothing of this machine is in it.
 * @param cwd folder whose go.mod counts.
 * @param out file to write.
 */
export async function buildGo(cwd: string, out: string, options: GoBuild = {}): Promise<void> {
  const { package: main = '.', tags = [], ldflags, cgo = false } = options;
  const linker = ['-s', '-w', ...(ldflags === undefined ? [] : [ldflags]), ...(cgo ? ['-extldflags "-static"'] : [])];
  const args = ['-tags', [...commonTags, ...tags].join(','), '-ldflags', linker.join(' '), '-o', out, main];
  await run('go', ['build', ...args], { cwd, env: { ...goEnv, CGO_ENABLED: cgo ? '1' : '0' } });
}

/** The environment for every `go`: packages that are compiled alike are compiled once. */
export const goEnv: NodeJS.ProcessEnv = {
  ...process.env,
  CGO_ENABLED: '0',
  // The pinned Go is the machine's; a go.mod that asks for a newer one must fail rather than download it.
  GOTOOLCHAIN: 'local',
  GOWORK: 'off',
  // The linker leaves the debugger's tables out ("-w"), so that compilers need not make them.
  GOFLAGS: `-trimpath -buildvcs=false -gcflags=all=-dwarf=false -tags=${commonTags.join(',')}`,
  // Compilers end before their garbage is worth collecting: a fifth less work, at 1.5 GB for one that compiles much.
  GOGC: 'off',
  GOMEMLIMIT: '1500MiB',
};
