import { appendFile, cp, chmod, mkdir, readFile, readdir, rm, symlink } from 'node:fs/promises';
import path from 'node:path';
import { computeKey } from '../paths.ts';
import { run } from '../process.ts';
import type { Artefact, ReportStep } from './artefact.ts';
import { buildGo, goEnv, goVersion, listPackages, PackageCounter } from './go-build.ts';
import type { GoSet } from './go-sets.ts';

const setsDir = path.join(import.meta.dirname, 'go');

/** Returns the artefact of a set of Go binaries: `bin/<name>` and the additional files. */
export async function goArtefact(set: GoSet): Promise<Artefact> {
  const cwd = path.join(setsDir, set.name);
  const files = await sourceFiles(set);
  const texts = await Promise.all(files.map((file) => readFile(path.join(cwd, file), 'utf8')));
  return {
    name: set.name,
    key: computeKey(goVersion, ...texts, JSON.stringify(set)),
    needs: [],
    buildsWith: 'go',
    prepare: async (reportStep) => {
      reportStep('downloading modules');
      await packagesToBuild(set, cwd);
    },
    build: (dir, reportStep) => buildSet(set, cwd, dir, reportStep),
  };
}

/**
 * Returns the files of a set that determine its binaries, relative to its folder, including those of its own packages.
 */
export async function sourceFiles(set: GoSet): Promise<string[]> {
  const files = await readdir(path.join(setsDir, set.name), { recursive: true });
  return files.filter((file) => /\.(mod|sum|go)$/.test(file)).sort();
}

async function buildSet(set: GoSet, cwd: string, dir: string, reportStep: ReportStep): Promise<void> {
  await mkdir(path.join(dir, 'bin'));
  const scratch = path.join(dir, 'scratch');
  const sources = set.extendedModule === undefined ? cwd : await extendModule(set.extendedModule, cwd, scratch);
  let doing = '';
  const counter = new PackageCounter(await packagesToBuild(set, cwd), (count) => reportStep(doing, count));
  for (const binary of set.binaries) {
    doing = binary.name;
    reportStep(doing);
    await buildGo(sources, path.join(dir, 'bin', binary.name), { ...set, ...binary }, counter);
    for (const link of binary.links ?? []) await symlink(binary.name, path.join(dir, 'bin', link));
  }
  await rm(scratch, { recursive: true, force: true });
  for (const file of set.files ?? []) {
    const target = path.join(dir, file.to);
    await copyFromModule(file.module, file.from, cwd, target);
    if (target.endsWith('.sh')) await chmod(target, 0o755);
  }
}

/**
 * Creates a folder in which the set is built with a copy of one of its modules, to which the set's own files are added.
 * @param cwd the set's folder.
 * @param scratch folder to create.
 */
async function extendModule(module: string, cwd: string, scratch: string): Promise<string> {
  await copyFromModule(module, '.', cwd, path.join(scratch, 'module'));
  await cp(path.join(cwd, 'added'), path.join(scratch, 'module'), { recursive: true });
  for (const file of ['go.mod', 'go.sum']) await cp(path.join(cwd, file), path.join(scratch, file));
  // A relative path: binaries record it, and they must be identical wherever they are built.
  await appendFile(path.join(scratch, 'go.mod'), `\nreplace ${module} => ./module\n`);
  return scratch;
}

/** Copies a file or folder of a module, at the version that the set in the folder `cwd` has. */
async function copyFromModule(module: string, from: string, cwd: string, target: string): Promise<void> {
  const source = (await run('go', ['list', '-m', '-f', '{{.Dir}}', module], { cwd, env: goEnv })).trim();
  await mkdir(path.dirname(target), { recursive: true });
  await cp(path.join(source, from), target, { recursive: true });
  // The module cache is read-only; what is copied from it must be removable.
  await run('chmod', ['-R', 'u+w', target]);
}

/** Returns the packages that all binaries of a set still have to compile; downloads missing modules. */
async function packagesToBuild(set: GoSet, cwd: string): Promise<Set<string>> {
  const byTags = new Map<string, GoSet['binaries'][number][]>();
  for (const binary of set.binaries) {
    const tags = (binary.tags ?? []).join(',');
    byTags.set(tags, [...(byTags.get(tags) ?? []), binary]);
  }
  const importPaths = new Set<string>();
  for (const binaries of byTags.values()) {
    const packages = binaries.map((binary) => binary.package);
    for (const importPath of await listPackages(cwd, { packages, tags: binaries[0]?.tags ?? [] }))
      importPaths.add(importPath);
  }
  return importPaths;
}
