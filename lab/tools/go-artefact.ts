import { cp, chmod, mkdir, readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { keyOf } from '../paths.ts';
import { run } from '../process.ts';
import type { Artefact } from './artefact.ts';
import { buildGo, goEnv } from './go-build.ts';
import type { GoSet } from './go-sets.ts';

const setsDir = path.join(import.meta.dirname, 'go');

/** The artefact of a set of Go binaries: `bin/<name>` and the files taken along. */
export async function goArtefact(set: GoSet, goVersion: string): Promise<Artefact> {
  const cwd = path.join(setsDir, set.name);
  const files = (await readdir(cwd)).filter((file) => /\.(mod|sum|go)$/.test(file)).sort();
  const texts = await Promise.all(files.map((file) => readFile(path.join(cwd, file), 'utf8')));
  return {
    name: set.name,
    key: keyOf(goVersion, ...texts, JSON.stringify(set)),
    needs: [],
    build: (dir, say) => buildSet(set, cwd, dir, say),
  };
}

async function buildSet(set: GoSet, cwd: string, dir: string, say: (what: string) => void): Promise<void> {
  await mkdir(path.join(dir, 'bin'));
  for (const binary of set.binaries) {
    say(binary.name);
    await buildGo(cwd, path.join(dir, 'bin', binary.name), { ...set, ...binary });
  }
  for (const file of set.files ?? []) {
    const source = (await run('go', ['list', '-m', '-f', '{{.Dir}}', file.module], { cwd, env: goEnv })).trim();
    const target = path.join(dir, file.to);
    await mkdir(path.dirname(target), { recursive: true });
    await cp(path.join(source, file.from), target, { recursive: true });
    // The module cache is read-only; what is copied from it must be removable.
    await run('chmod', ['-R', 'u+w', target]);
    if (target.endsWith('.sh')) await chmod(target, 0o755);
  }
}
