import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { findMissingCommands, findPackages } from '../../lab/tools/commands.ts';

let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'cni-commands-'));
  for (const name of ['present', 'not-executable']) await writeFile(path.join(folder, name), '#!/bin/sh\n');
  await chmod(path.join(folder, 'present'), 0o755);
});

afterAll(() => rm(folder, { recursive: true, force: true }));

const commands = { present: 'one', 'not-executable': 'two', absent: 'two', other: 'three' };

it('finds executable commands in any folder of PATH', async () => {
  expect(await findMissingCommands(commands, `/nowhere:${folder}`)).toEqual(['not-executable', 'absent', 'other']);
  expect(await findMissingCommands({ present: 'one' }, `/nowhere:${folder}`)).toEqual([]);
});

it('names the package of several commands once', () => {
  expect(findPackages(commands, ['absent', 'other', 'not-executable'])).toEqual(['three', 'two']);
});
