import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { projectDir } from '../../lab/paths.ts';
import { goVersion, minimumGo } from '../../lab/tools/go-build.ts';
import { pages } from '../support/docs.ts';

interface Package {
  engines: { node: string };
  optionalDependencies: Record<string, string>;
}

const read = (file: string): Promise<string> => readFile(path.join(projectDir, file), 'utf8');
const readPackage = async (): Promise<Package> => JSON.parse(await read('package.json')) as Package;

/**
 * Returns the versions that guides require, such as "20" of "Node.js 20 or newer". Decisions and the changelog describe
 * the past.
 */
async function requiredVersions(program: string): Promise<Set<string>> {
  const pattern = new RegExp(`${program.replaceAll('.', '\\.')}\\s+([0-9.]*\\d)\\s+or\\s+newer`, 'g');
  const guides = (await pages()).filter(({ file }) => !/^(docs\/decisions\/|CHANGELOG)/.test(file));
  return new Set(guides.flatMap(({ text }) => [...text.matchAll(pattern)].map(([, version = '']) => version)));
}

const isAtMost = (version: string, limit: string): boolean =>
  version.localeCompare(limit, 'en', { numeric: true }) <= 0;

it('requires one version of Node.js everywhere', async () => {
  const { engines } = await readPackage();
  const locked = JSON.parse(await read('package-lock.json')) as { packages: Record<string, Package> };

  const [, minimum = ''] = /^>=(\d+)$/.exec(engines.node) ?? [];

  expect(minimum).not.toBe('');
  expect(locked.packages['']?.engines).toEqual(engines);
  expect([...(await requiredVersions('Node.js'))]).toEqual([minimum]);
});

it('runs with the version of Node.js that it installs everywhere', async () => {
  const { optionalDependencies } = await readPackage();

  const brought = new Set(
    Object.entries(optionalDependencies).flatMap(([name, version]) => (name.startsWith('node-linux-') ? version : []))
  );

  expect(brought.size).toBe(1);
  expect(await read('Dockerfile')).toContain(`NODE_IMAGE=node:${[...brought][0]}-`);
});

it('requires one version of Go everywhere', async () => {
  expect([...(await requiredVersions('Go'))]).toEqual([minimumGo.join('.')]);
});

it('compiles with a version of Go that all its modules accept', async () => {
  const sets = (await readdir(path.join(projectDir, 'lab/tools/go'))).map((name) => `lab/tools/go/${name}`);
  const folders = [
    ...sets,
    'images/prober',
    'images/coexistence',
    'lab/app',
    'lab/images/pause',
    'test/policy-matrix',
    'test/bench/scale/simulator',
  ];
  const moduleGoVersions = await Promise.all(
    folders.map(async (folder) => /^go (\S+)$/m.exec(await read(`${folder}/go.mod`))?.[1] ?? 'none')
  );

  expect(moduleGoVersions.filter((version) => !isAtMost(version, goVersion.slice('go'.length)))).toEqual([]);
});
