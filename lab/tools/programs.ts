import { mkdir, readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { computeKey, projectDir } from '../paths.ts';
import type { Artefact } from './artefact.ts';
import { buildGo, goVersion, listPackages, PackageCounter } from './go-build.ts';

/** Folders of the project's own programs that run in pods of a lab, by name. */
const sources = {
  pause: 'lab/images/pause',
  app: 'lab/app',
  prober: 'images/prober',
  coexistence: 'images/coexistence',
} as const;

/** A program of the project that runs in pods of a lab. */
export type ProgramName = keyof typeof sources;

/**
 * Returns one artefact for each program, with `bin/<name>`. Each has its own key, so that a change of one program does
 * not rebuild the others.
 */
export async function programArtefacts(): Promise<Readonly<Record<ProgramName, Artefact>>> {
  const entries = Object.entries(sources).map(
    async ([name, folder]) => [name, await programArtefact(name, path.join(projectDir, folder))] as const
  );
  return Object.fromEntries(await Promise.all(entries)) as Record<ProgramName, Artefact>;
}

async function programArtefact(name: string, folder: string): Promise<Artefact> {
  return {
    name,
    key: computeKey(goVersion, ...(await goSources(folder))),
    needs: [],
    buildsWith: 'go',
    prepare: async (reportStep) => {
      reportStep('downloading modules');
      await listPackages(folder);
    },
    build: async (dir, reportStep) => {
      await mkdir(path.join(dir, 'bin'));
      const counter = new PackageCounter(await listPackages(folder), (count) => reportStep(name, count));
      await buildGo(folder, path.join(dir, 'bin', name), {}, counter);
    },
  };
}

/** Reads the sources of a program's binary: its Go files without tests, and its module files. */
async function goSources(folder: string): Promise<string[]> {
  const files = (await readdir(folder)).filter((file) => /(?<!_test)\.go$|^go\.(mod|sum)$/.test(file)).sort();
  const texts = await Promise.all(files.map((file) => readFile(path.join(folder, file), 'utf8')));
  return files.flatMap((file, index) => [file, texts[index] ?? '']);
}
