import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { projectDir } from '../../lab/paths.ts';
import { run } from '../../lab/process.ts';

/** Prints the URL of every module that a program loads; the program itself ends at once, because it has no keys. */
const listImports = `
  import { registerHooks } from 'node:module';
  registerHooks({ load: (url, context, next) => (console.log(url), next(url, context)) });
  await import(process.argv[1]);
`;

it('loads no Kubernetes client into the codec server, which holds the keys', async () => {
  const main = pathToFileURL(path.join(projectDir, 'temporal', 'codec-server', 'main.ts')).href;
  const command = `${JSON.stringify(process.execPath)} --input-type=module --eval "$0" "$1" 2>&1 || true`;

  const loaded = await run('/bin/sh', ['-c', command, listImports, main], { env: {} });

  const modules = loaded.split('\n').filter((line) => line.startsWith('file:'));
  expect(modules).toContain(main);
  expect(modules.filter((url) => /node_modules\/(@kubernetes|undici)\//.test(url))).toEqual([]);
  expect(
    modules.filter((url) => /\/(activities|workflows|client|worker)\//.test(url.slice(projectDir.length)))
  ).toEqual([]);
});
