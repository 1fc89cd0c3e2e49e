import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { cruise, format, type ICruiseResult } from 'dependency-cruiser';
import extractTSConfig from 'dependency-cruiser/config-utl/extract-ts-config';
import config, { levels } from '../../.dependency-cruiser.mjs';

const projectDir = path.join(import.meta.dirname, '..', '..');
const file = path.join(import.meta.dirname, 'imports.md');

/** Imports of a layer: the names of the layers below it. */
type Imports = ReadonlyMap<string, ReadonlySet<string>>;

const layers = levels
  .flatMap((level) => Object.entries(level))
  .map(([name, pattern]) => ({ name, pattern: new RegExp(pattern) }));

/** Groups the imports between files by layer. Other files, such as configuration, are left out. */
function importsOfLayers({ modules }: ICruiseResult): Imports {
  const layerOf = (source: string): string | undefined => layers.find(({ pattern }) => pattern.test(source))?.name;
  const imports = new Map(layers.map(({ name }) => [name, new Set<string>()]));
  for (const { source, dependencies } of modules) {
    const from = layerOf(source);
    for (const { resolved } of dependencies) {
      const to = layerOf(resolved);
      if (from !== undefined && to !== undefined && from !== to) imports.get(from)?.add(to);
    }
  }
  return imports;
}

/** True when a chain of two or more imports leads from one layer to another: its arrow would add nothing to the picture. */
function isImplied(imports: Imports, from: string, to: string): boolean {
  const reaches = (start: string): boolean => start === to || [...(imports.get(start) ?? [])].some(reaches);
  return [...(imports.get(from) ?? [])].some((next) => next !== to && reaches(next));
}

/** Draws the layers as a Mermaid flowchart, importers above what they import. The imports must have no cycle. */
function draw(imports: Imports): string {
  const idOf = (name: string): string => `layer${layers.findIndex((layer) => layer.name === name)}`;
  const arrows = [...imports].flatMap(([from, targets]) =>
    [...targets].filter((to) => !isImplied(imports, from, to)).map((to) => `  ${idOf(from)} --> ${idOf(to)}`)
  );
  return [
    '# Imports between folders',
    '',
    '`npm run docs` generates this picture from the imports of the code, types included. `npm run lint:imports` requires that it is up to date,',
    'that it has no cycle, and that every arrow points down: the levels are in `.dependency-cruiser.mjs`. Arrows that follow from other arrows are',
    'left out.',
    '',
    '```mermaid',
    'flowchart TD',
    ...layers.map(({ name }) => `  ${idOf(name)}["${name}"]`),
    ...arrows.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })),
    '```',
    '',
  ].join('\n');
}

const tsConfig = extractTSConfig(path.join(projectDir, 'tsconfig.json'));
const { forbidden, options } = config;
const { output } = await cruise(
  ['.'],
  { ...options, baseDir: projectDir, validate: true, ruleSet: { forbidden: forbidden ?? [] } },
  undefined,
  { tsConfig }
);
if (typeof output === 'string') throw new Error('dependency-cruiser returned a text instead of its result');
const report = await format(output, { outputType: 'err' });
console.log(report.output);
if (output.summary.error > 0) {
  process.exitCode = 1;
} else if (process.argv.includes('--write')) {
  await writeFile(file, draw(importsOfLayers(output)));
} else if ((await readFile(file, 'utf8').catch(() => '')) !== draw(importsOfLayers(output))) {
  console.error('docs/reference/imports.md does not show the imports of the code: run `npm run docs`');
  process.exitCode = 1;
}
