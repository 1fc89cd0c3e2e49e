import { access, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { projectDir } from '../../lab/paths.ts';
import { run, succeeds } from '../../lab/process.ts';
import { loadCatalogue } from '../../lab/tools/catalogue.ts';
import { packBundle } from '../../lab/tools/pack.ts';
import { readHostState } from '../support/host-state.ts';
import { uniqueLabName } from '../support/lab.ts';

const name = uniqueLabName('prebuilt');
let scratch = '';

beforeAll(async () => {
  scratch = await mkdtemp(path.join(tmpdir(), 'cni-bundle-'));
});

afterAll(() => rm(scratch, { recursive: true, force: true }));

/** Returns PATH, in which folders with Go are replaced by folders with their other programs. */
async function pathWithoutGo(): Promise<string> {
  const folders = (process.env['PATH'] ?? '').split(':').filter((folder) => folder !== '');
  const without = folders.map(async (folder, index) => {
    const hasGo = await access(path.join(folder, 'go')).then(
      () => true,
      () => false
    );
    if (!hasGo) return folder;
    const copy = path.join(scratch, `path${index}`);
    await mkdir(copy);
    const others = (await readdir(folder)).filter((file) => !file.startsWith('go'));
    for (const file of others) await symlink(path.join(folder, file), path.join(copy, file));
    return copy;
  });
  return (await Promise.all(without)).join(':');
}

it('starts a lab from a bundle alone, without Go, and leaves nothing', async () => {
  const before = await readHostState([name]);
  const { artefacts } = await loadCatalogue();
  const bundle = path.join(scratch, 'bundle');
  const { archives, listSha256 } = await packBundle(artefacts, bundle, () => undefined);
  const env = {
    ...process.env,
    PATH: await pathWithoutGo(),
    CNI_LAB_CACHE: path.join(scratch, 'cache'),
    CNI_LAB_PREBUILT: bundle,
    CNI_LAB_PREBUILT_SHA256: listSha256,
  };
  const lab = (...args: string[]): Promise<string> =>
    run('node', [path.join(projectDir, 'lab', 'cli.ts'), ...args, '--name', name], {
      env,
      onErrorLine: (line) => said.push(line),
    });
  const said: string[] = [];
  expect(await succeeds('go', ['version'], { env })).toBe(false);

  try {
    await lab('up', '--nodes', '1', '--no-app');
    const nodes = await run('sh', ['-c', `eval "$(node lab/cli.ts env --name ${name})" && kubectl get nodes`], {
      env,
      cwd: projectDir,
    });

    expect(nodes).toMatch(/^node1 +Ready /m);
    const ended = (how: string): string[] =>
      said.flatMap((line) => new RegExp(`^ *\\d+:\\d\\d {2}(\\S+): ${how} in`).exec(line)?.[1] ?? []).sort();
    expect(ended('unpacked')).toEqual(archives.map((one) => one.name).sort());
    expect(ended('built')).toEqual(artefacts.flatMap((one) => (one.assembled === true ? one.name : [])).sort());
  } finally {
    await lab('down');
  }
  expect(await readHostState([name])).toEqual(before);
});
