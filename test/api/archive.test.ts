import { chmod, chown, link, lstat, mkdir, mkdtemp, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { run } from '../../lab/process.ts';
import { packFolder, unpackArchive } from '../../lab/tools/archive.ts';

let scratch = '';
const at = (...parts: string[]): string => path.join(scratch, ...parts);

beforeEach(async () => {
  scratch = await mkdtemp(path.join(tmpdir(), 'cni-archive-'));
});

afterEach(() => rm(scratch, { recursive: true, force: true }));

/** Creates a folder with every kind of entry of a root file system. */
async function createRootfs(dir: string): Promise<void> {
  await mkdir(path.join(dir, 'dev'), { recursive: true });
  await mkdir(path.join(dir, 'usr', 'bin'), { recursive: true });
  await writeFile(path.join(dir, 'usr', 'bin', 'su'), 'su');
  await chmod(path.join(dir, 'usr', 'bin', 'su'), 0o4755);
  await link(path.join(dir, 'usr', 'bin', 'su'), path.join(dir, 'usr', 'bin', 'same'));
  await symlink('/usr/bin', path.join(dir, 'bin'));
  await writeFile(path.join(dir, 'a "name" with\nmore'), 'x');
  await chown(path.join(dir, 'a "name" with\nmore'), 1234, 5678);
  await run('mknod', [path.join(dir, 'dev', 'null'), 'c', '1', '3']);
}

it('unpacks a packed archive with owners, modes, links and devices', async () => {
  await createRootfs(at('from'));
  await packFolder(at('from'), at('archive'));
  await mkdir(at('to'));

  await unpackArchive(at('archive'), at('to'));

  const program = await lstat(at('to', 'usr', 'bin', 'su'));
  expect(program.mode & 0o7777).toBe(0o4755);
  expect((await lstat(at('to', 'usr', 'bin', 'same'))).ino).toBe(program.ino);
  const { uid, gid } = await lstat(at('to', 'a "name" with\nmore'));
  expect({ uid, gid }).toEqual({ uid: 1234, gid: 5678 });
  expect((await lstat(at('to', 'dev', 'null'))).isCharacterDevice()).toBe(true);
  expect((await lstat(at('to', 'bin'))).isSymbolicLink()).toBe(true);
  expect(await readFile(at('to', 'usr', 'bin', 'same'), 'utf8')).toBe('su');
});

it('produces the same bytes for the same content at any time', async () => {
  await createRootfs(at('one'));
  await createRootfs(at('two'));
  await utimes(at('two', 'usr', 'bin', 'su'), 1, 1);

  const [one, two] = [await packFolder(at('one'), at('a')), await packFolder(at('two'), at('b'))];

  expect(one).toEqual(two);
  await writeFile(at('two', 'usr', 'bin', 'su'), 'other');
  expect(await packFolder(at('two'), at('c'))).not.toEqual(one);
});

it('reports a file that is not an archive', async () => {
  await writeFile(at('archive'), 'no archive');
  await mkdir(at('to'));

  await expect(unpackArchive(at('archive'), at('to'))).rejects.toThrow('cannot be decompressed');
});
